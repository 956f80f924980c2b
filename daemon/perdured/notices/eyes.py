"""What every source of notices looks with, and how it tells what it saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from perdured.clock import Clock
from perdured.core.notices.answer import Answer, Look, find_ahead
from perdured.core.notices.notice import Notice, SourceName
from perdured.core.notices.status import SourceStatus


class Report(NamedTuple):
    """How a source is, and what stands as far as it can see."""

    status: SourceStatus
    notices: tuple[Notice, ...] = ()
    is_whole: bool = False
    """Whether it has seen all of it, so that what is not among `notices` does not stand."""


Tell = Callable[[Report], None]


class Source(Protocol):
    @property
    def name(self) -> SourceName: ...

    async def watch(self, tell: Tell) -> None:
        """Looks until cancelled, and tells at each change. Called on the event loop; `tell` returns at once."""


class Eyes(NamedTuple):
    clock: Clock
    boot_id: str
    haste: float = 1.0
    """How many times as often as usual it is looked; tests are in a hurry."""

    def look(self, answer: Answer | None = None) -> Look:
        now = self.clock()
        return Look(now, self.boot_id, find_ahead(answer, now) if answer is not None else 0.0)
