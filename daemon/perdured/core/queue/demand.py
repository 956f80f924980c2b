"""What a job asks of the machine, and how it stands towards it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .amounts import Amounts

Standing = Literal["ready", "held", "holds", "yields", "leaves"]
"""
ready    it starts as soon as it may, or when a short wait is over
held     it waits for storage: it starts when it can, and keeps nothing from others meanwhile
holds    an attempt is under way
yields   an attempt is under way and has been told to step aside; after it the job is ready again
leaves   an attempt is under way and has been asked to end; no other follows by itself
"""


class Moment(NamedTuple):
    at: float
    said: str
    """As people read it."""


class Dependency(NamedTuple):
    ref: str
    state: str


class Demand(NamedTuple):
    id: str
    name: str
    asks: Amounts
    standing: Standing
    priority: int = 0
    submitted_at: float = 0.0
    group: str | None = None
    parallel: int | None = None
    """So many of its group at once, as far as this job is concerned."""
    not_before: Moment | None = None
    gpus: tuple[str, ...] = ()
    """Those that it has, or had last."""
    unmet: tuple[Dependency, ...] = ()
    """The jobs that it comes after, as far as they have not succeeded."""

    @property
    def has_place(self) -> bool:
        return self.standing in ("holds", "yields", "leaves")

    @property
    def ref(self) -> str:
        """As people read it."""
        return f"{self.id} ({self.name})"
