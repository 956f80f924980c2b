"""What the plan says of one job, and what stands in its way: facts. `words.py` makes sentences of them, and only for
who asks, because the reasons of a thousand queued jobs change whenever one of them starts."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .amounts import Amounts
from .demand import Demand, Dependency, Moment


class Lacks(NamedTuple):
    """The machine has not enough to spare now."""

    asks: Amounts
    free: Amounts
    """What nobody uses, though it may be kept for those ahead."""
    kinds: tuple[str, ...]
    """Of which there is not enough, or not enough that is not kept for somebody ahead."""
    behind: Demand | None = None
    """The first job ahead that waits for some of the same."""
    leaving: tuple[Demand, ...] = ()
    """Those on their way out after whom there will be enough."""


class TooLarge(NamedTuple):
    """The machine as it is would not be enough if nobody else were there."""

    asks: Amounts
    has: Amounts
    kinds: tuple[str, ...]
    quarantined: int = 0
    """GPUs that might be used otherwise."""


class MakesRoom(NamedTuple):
    """What it has is to be another's, of a higher priority."""

    successor: Demand


class GroupPaused(NamedTuple):
    group: str


class GroupFull(NamedTuple):
    group: str
    parallel: int


class NotBefore(NamedTuple):
    moment: Moment


class NotAfter(NamedTuple):
    """The first of the jobs that it comes after and that has not succeeded."""

    first: Dependency
    others: int


Obstacle = Lacks | TooLarge | MakesRoom | GroupPaused | GroupFull | NotBefore | NotAfter
ASIDE = "stepped aside"
"""Why an attempt was asked to end, where the plan wanted its place, or its group was paused."""


class Turn(NamedTuple):
    kind: Literal["go", "wait", "aside"]
    obstacle: Obstacle | None = None
    position: int | None = None
    """Among those who wait, from 1 on."""
    gpus: tuple[str, ...] = ()
    """The UUIDs of those that it is given."""


GO = Turn("go")
