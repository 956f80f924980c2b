"""How often to save: the interval that costs least, from what a save costs and how often a run is lost. Pure.

Whoever saves after every T seconds of training, at a cost of C, and fails by chance once in M seconds on average, is
done soonest with the T that solves

    x + ln(1 - x) = -C / M,    x = T / M

(failures as a Poisson process: Daly, 2006). Young's T = sqrt(2 C M) is its first term, and an upper bound; where C is
no longer small beside M it goes astray, and this does not: T stays below M.

Two ceilings over that. All saves together cost CEILING of the time at most; where the optimum would cost more, both
kinds are made rarer by the same factor. And nobody waits longer than LONGEST, since nobody knows M that well; but the
first ceiling goes before the second.

M is estimated from the job's own history: the time that it ran, over its failures, with half a failure added (Jeffreys'
prior of a Poisson rate) and some time before its beginning. So a young job is held to be fragile, one that has run for
a day undisturbed to be sound, and after a few failures they alone count. The time before is short for processes,
which die early of what was written wrong, and long for machines, which do not.

Two kinds of loss, so two intervals where there is a memory tier: a snapshot in memory is for the death of the process,
a checkpoint on the disk for that of the machine. Without the tier every loss falls back to the disk.

Known limits. Failures that come in bursts, or of one bug at one step, are no Poisson process. What a commit costs the
training beside it (BURDEN) is assumed, not measured.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import NamedTuple

from perdured.contract.strictjson import parse_json

CEILING = 0.01
"""Of the time, all saves together."""
LONGEST = 3600.0
"""Seconds between two saves."""
SHORTEST = 30.0
"""Seconds between two saves to the disk: each is an event, a handful of syncs and a look at the older ones."""
BURDEN = 0.1
"""While the keeper writes, training is slower by this share: it has the disk, and a core, a little less."""
PROCESS_PRIOR = 600.0
MACHINE_PRIOR = 12 * 3600.0
"""Seconds before the beginning, in which half a failure is held to have been."""
_HALF = 0.5


class History(NamedTuple):
    """What a job has been through, over all attempts that have ended."""

    run_seconds: float = 0.0
    failures: int = 0
    """Ends of the process while the machine went on, and with it what lies in memory."""
    machine_losses: int = 0

    def after(self, seconds: float) -> History:
        """With so much more time in which nothing happened."""
        return History(self.run_seconds + seconds, self.failures, self.machine_losses)


class Costs(NamedTuple):
    """Seconds, as measured: of a copy into memory, and until the disk has it. None: not yet."""

    copy: float | None = None
    write: float | None = None


class Pace(NamedTuple):
    """How often a run saves, and what that costs it. Seconds; None: not known, or there is none."""

    save_every: float | None = None
    """Between two checkpoints on the disk."""
    snapshot_every: float | None = None
    """Between two copies in memory; None without a memory tier."""
    copy: float | None = None
    write: float | None = None
    slowest_copy: float | None = None
    fastest_write: float | None = None
    slowest_write: float | None = None
    slowest_step: float | None = None
    """Between two safe points."""

    @property
    def overhead(self) -> float | None:
        """The share of the time that saving costs."""
        cost = _cost_of_save(self.copy if self.snapshot_every is not None else None, self.write)
        if self.save_every is None or cost is None:
            return None
        snapshots = _share(self.copy, self.snapshot_every) if self.copy and self.snapshot_every else 0.0
        return snapshots + _share(cost, self.save_every)

    @property
    def failure_costs(self) -> float | None:
        """What the death of the process costs, on average."""
        return self.machine_loss_costs if self.snapshot_every is None else self.snapshot_every / 2

    @property
    def machine_loss_costs(self) -> float | None:
        """What the loss of the machine's memory costs: half an interval, and what was not written yet."""
        if self.save_every is None:
            return None
        return self.save_every / 2 + (self.write or 0.0 if self.snapshot_every is not None else 0.0)


# Choosing --------------------------------------------------------------------------------------------------------


def choose_pace(history: History, costs: Costs, *, has_memory: bool) -> Pace:
    """The intervals that cost least. `save_every` is SHORTEST as long as no save was measured."""
    if has_memory:
        return _choose_both(history, costs)
    cost = costs.write or 0.0
    every = choose_interval(cost, expect_any_failure(history))
    return Pace(max(every, SHORTEST), None, costs.copy, costs.write)


def _choose_both(history: History, costs: Costs) -> Pace:
    copy, cost = costs.copy or 0.0, _cost_of_save(costs.copy or 0.0, costs.write) or 0.0
    snapshot = choose_interval(copy, expect_failure(history), math.inf)
    save = max(choose_interval(cost, expect_machine_loss(history), math.inf), SHORTEST)
    snapshot, save = min(snapshot, save, LONGEST), min(save, LONGEST)
    share = _share(copy, snapshot) + _share(cost, save)
    if share > CEILING:
        snapshot, save = (_stretch(copy, snapshot, share / CEILING), _stretch(cost, save, share / CEILING))
    return Pace(save, snapshot, costs.copy, costs.write)


def choose_interval(cost: float, mtbf: float, ceiling: float = CEILING) -> float:
    """Seconds of training between two saves that cost `cost` each. `ceiling`: of the time, at most."""
    least = cost / ceiling - cost if ceiling < 1 else 0.0
    return max(min(find_optimum(cost, mtbf), LONGEST), least)


def find_optimum(cost: float, mtbf: float) -> float:
    """Without ceilings. Grows with both."""
    if cost <= 0 or math.isinf(mtbf):
        return 0.0 if cost <= 0 else math.inf
    ratio = cost / mtbf
    low, high = 0.0, min(math.sqrt(2 * ratio), 1.0)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if middle + math.log1p(-middle) > -ratio else (low, middle)
    return high * mtbf


def expect_failure(history: History) -> float:
    """Seconds until the process dies, on average."""
    return (history.run_seconds + PROCESS_PRIOR) / (history.failures + _HALF)


def expect_machine_loss(history: History) -> float:
    return (history.run_seconds + MACHINE_PRIOR) / (history.machine_losses + _HALF)


def expect_any_failure(history: History) -> float:
    return 1 / (1 / expect_failure(history) + 1 / expect_machine_loss(history))


def _cost_of_save(copy: float | None, write: float | None) -> float | None:
    """What one checkpoint on the disk costs training, that stands still for a copy (None: for the whole of it)."""
    if copy is None:
        return write
    return copy + BURDEN * (write or 0.0)


def _share(cost: float | None, every: float) -> float:
    """Of the time, that a save of this cost after every so many seconds takes."""
    return cost / (every + cost) if cost else 0.0


def _stretch(cost: float, every: float, factor: float) -> float:
    """The interval at which the share is `factor` times smaller."""
    return factor * (every + cost) - cost


# As text ---------------------------------------------------------------------------------------------------------


def format_past(history: History, costs: Costs) -> str:
    """As an attempt's environment carries it."""
    return json.dumps(history._asdict() | costs._asdict())


def parse_past(text: str) -> tuple[History, Costs]:
    """ValueError for what `format_past` does not write."""
    data = parse_json(text.encode())
    if not isinstance(data, dict):
        raise ValueError("it must be an object")
    seconds, failures, losses = (_parse_seconds(data, name) or 0.0 for name in History._fields)
    costs = Costs(_parse_seconds(data, "copy"), _parse_seconds(data, "write"))
    return History(seconds, int(failures), int(losses)), costs


def format_pace(pace: Pace) -> dict[str, float | None]:
    return pace._asdict()


def parse_pace(data: Mapping[str, object]) -> Pace:
    """ValueError unless each value is a number of seconds, or none."""
    return Pace(*(_parse_seconds(data, name) for name in Pace._fields))


def _parse_seconds(data: Mapping[str, object], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of seconds")
    return float(value)
