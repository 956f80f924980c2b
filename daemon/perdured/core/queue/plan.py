"""The rules of the queue.

1. *Order.* A higher priority goes first; of one priority the older submission.
2. *Never over capacity.* What starts fits beside all that has a place, also where that is on its way out.
3. *Passing.* Whoever does not fit now claims all that it asks for, of everything. Who comes later may pass only with
   what is left beside every claim ahead of it, so that it cannot delay anybody ahead by a moment. A big job is
   therefore never starved by small ones: what becomes free is kept for it until it has enough. The price is that some
   of it may lie idle meanwhile; without knowing how long jobs take nobody can do better and promise the same.
4. A job that asks for more than the machine has claims nothing: it would keep the machine from all others.
5. A job between two attempts (its backoff) keeps its rank, and so, as a rule, its place. One that waits for storage
   (held) comes last and claims nothing.

Between priorities there is no such promise: as long as jobs of a higher priority keep coming, one of a lower waits.

The plan is a function of what is recorded, made anew each time: nothing is remembered from the one before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .amounts import NOTHING, Amounts
from .demand import Demand
from .machine import Machine
from .turn import GO, Lacks, TooLarge, Turn


def make_plan(demands: Iterable[Demand], machine: Machine) -> dict[str, Turn]:
    """The turn of each job, by id."""
    order = sorted(demands, key=_rank)
    room = _Room(machine.has, _sum(demand.asks for demand in order if demand.has_place))
    return {demand.id: GO if demand.has_place else room.take_in(demand) for demand in order}


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

    has: Amounts
    taken: Amounts
    """By those who have a place, and those who are told to go."""
    claimed: Amounts = NOTHING
    claimants: list[Demand] = field(default_factory=list)
    waiting: int = 0

    def take_in(self, demand: Demand) -> Turn:
        unclaimed = self.has.minus(self.taken).minus(self.claimed)
        if unclaimed.has_room_for(demand.asks):
            self.taken = self.taken.plus(demand.asks)
            return GO
        self.waiting += 1
        kinds = self.has.list_lacking(demand.asks)
        if kinds:
            return Turn("wait", TooLarge(demand.asks, self.has, kinds), self.waiting)
        return self._let_wait(demand, unclaimed.list_lacking(demand.asks))

    def _let_wait(self, demand: Demand, kinds: tuple[str, ...]) -> Turn:
        lacks = Lacks(demand.asks, self.has.minus(self.taken), kinds, self._find_ahead(kinds))
        if demand.standing != "held":
            self.claimed = self.claimed.plus(demand.asks)
            self.claimants.append(demand)
        return Turn("wait", lacks, self.waiting)

    def _find_ahead(self, kinds: tuple[str, ...]) -> Demand | None:
        ahead = (other for other in self.claimants if any(getattr(other.asks, kind) for kind in kinds))
        return next(ahead, None)
