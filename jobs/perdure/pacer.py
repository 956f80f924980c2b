"""How often this run saves: as its spec says, or, with "auto", by what its own saves cost and how often it failed.

The choice itself is pure and is the daemon's as well (`perdured.contract.pacing`); here are the measurements and the
clock. What was chosen is told to the keeper, so that `perdure show` can say it.
"""

from __future__ import annotations

import math
import time
from collections import deque

from perdure.channel import Channel
from perdure.schedule import AUTO, Mark, Schedule, is_due
from perdure.settings import Settings
from perdured.contract import messages
from perdured.contract.deadline import Fit, Span, judge_fit
from perdured.contract.pacing import CEILING, Costs, Pace, choose_pace, format_pace

_REMEMBERED = 8
_WORTH_TELLING = 0.05


class Samples:
    """The last few measurements of one thing, in seconds."""

    def __init__(self, first: float | None) -> None:
        self._values = deque[float]([] if first is None else [first], _REMEMBERED)

    def add(self, seconds: float) -> None:
        self._values.append(seconds)

    @property
    def middle(self) -> float | None:
        return sorted(self._values)[len(self._values) // 2] if self._values else None

    @property
    def least(self) -> float | None:
        return min(self._values, default=None)

    @property
    def most(self) -> float | None:
        return max(self._values, default=None)


class Pacer:
    def __init__(self, settings: Settings, channel: Channel) -> None:
        self._schedule = settings.every
        self._history, costs = settings.past
        self._channel = channel
        self._copies, self._writes, self._steps = Samples(costs.copy), Samples(costs.write), Samples(None)
        self._safe_point: float | None = None
        self._began = time.monotonic()
        self._copied_at: float | None = None
        self._measured_every: float | None = None
        self._told: Pace | None = None
        self._has_memory = False

    def note_copy(self, seconds: float) -> None:
        """A snapshot was taken: it cost that."""
        self._copied_at = time.monotonic()
        self._has_memory = True
        self._copies.add(seconds)
        self._tell()

    def note_write(self, seconds: float, *, has_memory: bool) -> None:
        """A checkpoint is durable: it took that long."""
        if has_memory != self._has_memory:
            self._writes = Samples(None)  # by another way, which takes another time
        self._has_memory = has_memory
        self._writes.add(seconds)
        self._tell()

    def note_pause(self) -> None:
        """The run stood still: what comes now does not tell how long a step takes."""
        self._safe_point = None

    def fits_on_disk(self, left: float) -> bool:
        """Whether a save that begins now may be durable within so many seconds."""
        least = (self._writes.least or 0.0) + ((self._copies.least or 0.0) if self._has_memory else 0.0)
        return judge_fit(Span(least, math.inf), left) is not Fit.NO

    def is_save_due(self, last: Mark, now: Mark) -> bool:
        if self._safe_point is not None:
            self._steps.add(now.time - self._safe_point)
        self._safe_point = now.time
        schedule = self._schedule if self._schedule != AUTO else Schedule(None, self._choose().save_every)
        if not is_due(schedule, last, now):
            return False
        self._measured_every = now.time - last.time
        return True

    def is_snapshot_due(self) -> bool:
        """Whether the chosen interval is over. An interval that is fixed says nothing of snapshots."""
        if self._schedule != AUTO or self._copied_at is None:
            return True
        return time.monotonic() - self._copied_at >= (self._choose().snapshot_every or 0.0)

    def _choose(self) -> Pace:
        past = self._history.after(time.monotonic() - self._began)
        return choose_pace(past, Costs(self._copies.middle, self._writes.middle), has_memory=self._has_memory)

    def _describe(self) -> Pace:
        """What is so, chosen or not."""
        return (self._choose() if self._schedule == AUTO else self._describe_fixed())._replace(
            slowest_copy=self._copies.most,
            fastest_write=self._writes.least,
            slowest_write=self._writes.most,
            slowest_step=self._steps.most,
        )

    def _describe_fixed(self) -> Pace:
        copy, every = self._copies.middle, self._schedule.seconds or self._measured_every
        snapshot_every = copy / CEILING if self._has_memory and copy is not None else None
        return Pace(every, snapshot_every, copy, self._writes.middle)

    def _tell(self) -> None:
        pace = self._describe()
        if self._told is None or _differ(pace, self._told):
            self._told = pace
            self._channel.send({"type": messages.PACE, **format_pace(pace)})


def _differ(one: Pace, other: Pace) -> bool:
    pairs = zip(format_pace(one).values(), format_pace(other).values(), strict=True)
    return any(a != b and (a is None or b is None or abs(a - b) > _WORTH_TELLING * b) for a, b in pairs)
