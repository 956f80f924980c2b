"""How the users of a machine share it, where each has a queue of the own: who is given what, and when.

What there is belongs to nobody until it is granted. A user asks for what the first of the own waiting jobs needs, the
whole of it at once; keeps what those that run have; and gives back the rest in the same word. So:

1. *Never over capacity.* What was granted and not given back, told or still on its way, is counted as used.
2. *In the order in which they began to ask.* Whoever does not fit now claims all that was asked for, and a later one
   passes only with what is left beside every claim ahead: big jobs are not starved, and no two users wait for each
   other, since nobody holds something while waiting for more.
3. *By turns.* A user asks for one job at a time, and after a grant comes behind all who wait. So one with a thousand
   jobs and one with a single job get on alike.
4. *Nobody makes a job of another user step aside.* A priority orders the jobs of one user.
5. Who asks for more than the machine has is not heard: it would keep the machine from all others.
6. *First hear, then grant.* A daemon that was just started grants nothing until it knows what everybody's jobs have.

A user's word is a stranger's, and may be a lie: who says to keep more than was granted keeps it from others, as who
starts a program beside Perdure does. That jobs use no more than they were granted is the kernel's to see to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .amounts import NOTHING, Amounts
from .demand import Demand
from .machine import Machine, Share
from .turn import Lacks, Turn

NO_SHARE = Share()


class Stand(NamedTuple):
    """A user's word."""

    keeps: Share = NO_SHARE
    wants: Amounts = NOTHING
    """What the first job that waits for room asks for; nothing where none waits."""


class Party(NamedTuple):
    """A user, as the one who grants sees it."""

    stand: Stand = Stand()
    coming: Share = NO_SHARE
    """Granted, and not yet in the user's word."""
    since: float = 0.0
    """When it began to want."""

    @property
    def has(self) -> Share:
        return self.stand.keeps.plus(self.coming)

    @property
    def waits(self) -> bool:
        return self.stand.wants != NOTHING and self.coming == NO_SHARE


def hear_stand(party: Party, stand: Stand, now: float, *, has_seen_all: bool) -> Party:
    """`has_seen_all`: what was granted is in this word."""
    began = now if party.stand.wants == NOTHING or (has_seen_all and party.coming != NO_SHARE) else party.since
    return Party(stand, NO_SHARE if has_seen_all else party.coming, began)


def decide_grants(machine: Machine, parties: Mapping[int, Party]) -> dict[int, Share]:
    """Who is given what now."""
    capacity = machine.capacity
    taken = {gpu for party in parties.values() for gpu in party.has.gpus}
    free_gpus = [gpu for gpu in machine.usable if gpu not in taken]
    free = capacity.minus(_sum(party.has.amounts for party in parties.values()))
    if machine.gpus is not None:
        free = free._replace(gpus=len(free_gpus))
    grants: dict[int, Share] = {}
    for uid, party in sorted(parties.items(), key=lambda each: (each[1].since, each[0])):
        wants = party.stand.wants
        if not party.waits or not capacity.has_room_for(wants):
            continue
        if free.has_room_for(wants):
            count = int(wants.gpus) if machine.gpus is not None else 0
            grants[uid] = Share(wants, frozenset(free_gpus[:count]))
            del free_gpus[:count]
        free = free.minus(wants)
    return grants


def make_stand(demands: Iterable[Demand], turns: Mapping[str, Turn]) -> Stand:
    """A user's word, by the own plan: what runs and what may start now keeps its part, and nothing else is kept."""
    keeps, wants = NO_SHARE, NOTHING
    lacking = {name for name, turn in turns.items() if isinstance(turn.obstacle, Lacks)}
    known = {demand.id: demand for demand in demands}
    for demand in (known[name] for name in turns if name in known):
        if demand.has_place:
            keeps = keeps.plus(Share(demand.asks, frozenset(demand.gpus)))
        elif turns[demand.id].kind == "go":
            keeps = keeps.plus(Share(demand.asks, frozenset(turns[demand.id].gpus)))
        elif wants == NOTHING and demand.id in lacking:
            wants = demand.asks
    return Stand(keeps, wants)


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    total = NOTHING
    for each in amounts:
        total = total.plus(each)
    return total
