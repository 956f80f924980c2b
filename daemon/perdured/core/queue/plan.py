"""The rules of the queue.

1. *Order.* A higher priority goes first; of one priority the older submission.
2. *Never over capacity.* What starts fits beside all that has a place, also where that is on its way out.
3. *Passing.* Whoever does not fit now claims all that it asks for, of everything. Who comes later may pass only with
   what is left beside every claim ahead of it, so that it cannot delay anybody ahead by a moment. A big job is
   therefore never starved by small ones: what becomes free is kept for it until it has enough. The price is that some
   of it may lie idle meanwhile; without knowing how long jobs take nobody can do better and promise the same.
4. A job that asks for more than the machine has claims nothing: it would keep the machine from all others.
5. *Stepping aside.* Who cannot have enough otherwise, also when all who are leaving have left, takes the places of
   running jobs of a strictly lower priority: of the lowest first, of these the youngest, of no more than are needed,
   and of none where that would not be enough. It waits until they have saved and ended, and what they leave is kept
   for it. They have a claim again at once, with the rank that they had.
6. A job between two attempts (its backoff) keeps its rank, and so, as a rule, its place. One that waits for storage
   (held) comes last and claims nothing.
7. *GPUs* are given by their UUID: to a job that comes back those that it had, where they are free. One that is in
   quarantine is given to nobody, and whoever has it keeps it until its attempt ends.
8. *Groups.* So many of a group at once as the job that would be one more allows, those counted that wait for room
   ahead of it. Nobody steps aside for want of a place in a group. What runs of a group that is paused steps aside.
9. Whose time has not come, or who comes after a job that has not succeeded, is not there yet: it claims nothing.

Between priorities there is no such promise: as long as jobs of a higher priority keep coming, one of a lower waits.

The plan is a function of what is recorded, made anew each time: nothing is remembered from the one before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from .amounts import NOTHING, Amounts
from .demand import Demand
from .machine import Machine
from .turn import (
    GO,
    GroupFull,
    GroupPaused,
    Lacks,
    MakesRoom,
    NotAfter,
    NotBefore,
    Obstacle,
    TooLarge,
    Turn,
)


class Plan(NamedTuple):
    turns: dict[str, Turn]
    """By the job's id."""
    look_at: float | None = None
    """When it will be another one though nothing has changed but the time."""


def make_plan(demands: Iterable[Demand], machine: Machine, now: float) -> Plan:
    usable = frozenset(machine.usable)
    order = sorted((_count_what_it_has(each, machine, usable) for each in demands), key=_rank)
    held = {gpu for demand in order if demand.has_place for gpu in demand.gpus}
    room = _Room(
        machine=machine,
        has=machine.capacity,
        now=now,
        taken=_sum(demand.asks for demand in order if demand.has_place).plus(machine.lent),
        leaving=[demand for demand in order if demand.has_place and not _stays(demand, machine)],
        holders=[demand for demand in reversed(order) if _stays(demand, machine)],
        in_group=Counter(demand.group for demand in order if demand.has_place),
        gpus=[gpu for gpu in machine.ours if gpu not in held],
    )
    # Whoever takes a place ranks before the one who has it, so that this one's turn is found after.
    turns = {demand.id: room.find_turn(demand) for demand in order}
    later = (each.not_before.at for each in order if each.not_before is not None and each.not_before.at > now)
    return Plan(turns, min(later, default=None))


def _count_what_it_has(demand: Demand, machine: Machine, usable: frozenset[str]) -> Demand:
    """Of GPUs in quarantine, and of those that are not there any more, nobody has to do without."""
    if not demand.has_place or machine.gpus is None:
        return demand
    return demand._replace(asks=demand.asks._replace(gpus=len(usable.intersection(demand.gpus))))


def _stays(demand: Demand, machine: Machine) -> bool:
    return demand.standing == "holds" and demand.group not in machine.paused


def _rank(demand: Demand) -> tuple[bool, int, float, str]:
    return (demand.standing == "held", -demand.priority, demand.submitted_at, demand.id)


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    total = NOTHING
    for each in amounts:
        total = total.plus(each)
    return total


@dataclass
class _Room:
    """What is left while the jobs are gone through in their order."""

    machine: Machine
    has: Amounts
    now: float
    taken: Amounts
    """By those who have a place, and those who are told to go."""
    leaving: list[Demand]
    """They, and those who have been told to step aside."""
    holders: list[Demand]
    """The others that have a place: the first to step aside first."""
    in_group: Counter[str | None]
    """How many of each group have a place, or wait for nothing but room."""
    gpus: list[str]
    """Those that nobody has."""
    claimed: Amounts = NOTHING
    claimants: list[Demand] = field(default_factory=list)
    successors: dict[str, Demand] = field(default_factory=dict)
    """For whom each steps aside."""
    waiting: int = 0

    def find_turn(self, demand: Demand) -> Turn:
        if not demand.has_place:
            obstacle = self._find_obstacle(demand)
            self.waiting += obstacle is not None
            return self._start(demand) if obstacle is None else Turn("wait", obstacle, self.waiting)
        if demand.group in self.machine.paused:
            return Turn("aside", GroupPaused(demand.group or ""))
        successor = self.successors.get(demand.id)
        if successor is not None or demand.standing == "yields":
            self._claim(demand)
        return Turn("aside", MakesRoom(successor)) if successor is not None else GO

    def _claim(self, demand: Demand) -> None:
        self.claimed = self.claimed.plus(demand.asks)
        self.claimants.append(demand)

    def _find_obstacle(self, demand: Demand) -> Obstacle | None:
        absence = self._find_absence(demand)
        if absence is not None:
            return absence
        unclaimed = self.has.minus(self.taken).minus(self.claimed)
        return None if unclaimed.has_room_for(demand.asks) else self._let_wait(demand, unclaimed)

    def _start(self, demand: Demand) -> Turn:
        self.taken = self.taken.plus(demand.asks)
        self.in_group[demand.group] += 1
        if self.machine.gpus is None or not demand.asks.gpus:
            return GO
        own_first = sorted(self.gpus, key=lambda gpu: gpu not in demand.gpus)
        given = set(own_first[: int(demand.asks.gpus)])
        self.gpus = [gpu for gpu in self.gpus if gpu not in given]
        return Turn("go", gpus=tuple(gpu for gpu in self.machine.usable if gpu in given))

    def _find_absence(self, demand: Demand) -> Obstacle | None:
        """Why it does not even wait for room."""
        if demand.unmet:
            return NotAfter(demand.unmet[0], len(demand.unmet) - 1)
        if demand.not_before is not None and demand.not_before.at > self.now:
            return NotBefore(demand.not_before)
        if demand.group is not None and demand.group in self.machine.paused:
            return GroupPaused(demand.group)
        if demand.group is not None and demand.parallel is not None and self.in_group[demand.group] >= demand.parallel:
            return GroupFull(demand.group, demand.parallel)
        kinds = self.has.list_lacking(demand.asks)
        quarantined = len(self.machine.quarantined.intersection(self.machine.gpus or ()))
        return TooLarge(demand.asks, self.has, kinds, quarantined) if kinds else None

    def _let_wait(self, demand: Demand, unclaimed: Amounts) -> Lacks:
        kinds = unclaimed.list_lacking(demand.asks)
        lacks = Lacks(demand.asks, self.has.minus(self.taken), kinds, self._find_ahead(kinds))
        if demand.standing == "held":
            return lacks
        leaving = self._make_room(demand, unclaimed)
        self.in_group[demand.group] += 1
        self._claim(demand)
        return lacks._replace(leaving=tuple(each for each in leaving if _asks_for_any(each, kinds)))

    def _make_room(self, demand: Demand, unclaimed: Amounts) -> list[Demand]:
        """All who leave, or are told to, where there is enough after them; else nobody is told."""
        if self.machine.share is not None and not self.machine.share.is_all_for_now:
            return []  # there may be room without that
        coming = unclaimed.plus(_sum(each.asks for each in self.leaving))
        lower = list(takewhile(lambda each: each.priority < demand.priority, self.holders))
        chosen = choose_places(demand.asks, coming, lower)
        if chosen is None:
            return []
        for each in chosen:
            self.holders.remove(each)
            self.leaving.append(each)
            self.successors[each.id] = demand
        return self.leaving

    def _find_ahead(self, kinds: tuple[str, ...]) -> Demand | None:
        return next((other for other in self.claimants if _asks_for_any(other, kinds)), None)


def _asks_for_any(demand: Demand, kinds: tuple[str, ...]) -> bool:
    return any(getattr(demand.asks, kind) for kind in kinds)


def choose_places(asks: Amounts, coming: Amounts, holders: Sequence[Demand]) -> list[Demand] | None:
    """As few of the holders, given in the order in which they should go, as make enough room beside what is coming;
    None where all of them would not."""
    chosen: list[Demand] = []
    for each in holders:
        kinds = coming.list_lacking(asks)
        if not kinds:
            break
        if _asks_for_any(each, kinds):
            chosen.append(each)
            coming = coming.plus(each.asks)
    if not coming.has_room_for(asks):
        return None
    for each in reversed(chosen):  # who had to go for one thing may not be needed, now that others went for another
        if coming.minus(each.asks).has_room_for(asks):
            chosen.remove(each)
            coming = coming.minus(each.asks)
    return chosen
