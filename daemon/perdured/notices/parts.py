"""The parts of one source: each is looked at with its own pace, and what they saw is told as one.

A part that could not be seen keeps what it saw last: a look that failed withdraws nothing. The source is blind as soon
as one of its parts is, since nobody knows what that one would say.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from perdured.core.notices.answer import Failed
from perdured.core.notices.notice import Notice, SourceName
from perdured.core.notices.status import SourceStatus, Trouble, find_pause
from perdured.tasks import end_tasks, wait_at_most

from .eyes import Report, Tell


@dataclass(eq=False)
class Part:
    name: str
    every: float
    """Seconds between two looks; whoever looks may change it."""
    look: Callable[[], Awaitable[tuple[Notice, ...]]]
    """What stands now. Raises Failed where that cannot be seen."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by whoever knows that a look is worth while now."""


class Kind(NamedTuple):
    source: SourceName
    works: Callable[[], str]
    """Says in words what is listened to, once that was seen."""


async def watch_parts(kind: Kind, parts: Sequence[Part], tell: Tell, haste: float) -> None:
    """Looks until cancelled."""
    gathered = _Gathered(kind, parts, tell)
    tasks = [asyncio.create_task(_watch_part(part, gathered, haste)) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end_tasks(tasks)


async def _watch_part(part: Part, gathered: _Gathered, haste: float) -> None:
    failures = 0
    while True:
        part.wake.clear()
        try:
            notices = await part.look()
        except Failed as failed:
            failures += 1
            gathered.missed(part, Trouble(failures, failed.why, failed.is_lasting))
        else:
            failures = 0
            gathered.saw(part, notices)
        pause = find_pause(part.every, failures) * random.uniform(0.9, 1.1) / haste
        await wait_at_most(part.wake, pause)


class _Gathered:
    def __init__(self, kind: Kind, parts: Sequence[Part], tell: Tell) -> None:
        self._source, self._works = kind
        self._seen: dict[str, tuple[Notice, ...] | None] = {part.name: None for part in parts}
        self._troubles: dict[str, Trouble] = {}
        self._tell = tell

    def saw(self, part: Part, notices: tuple[Notice, ...]) -> None:
        self._seen[part.name] = notices
        self._troubles.pop(part.name, None)
        self._report()

    def missed(self, part: Part, trouble: Trouble) -> None:
        self._troubles[part.name] = trouble
        self._report()

    def _report(self) -> None:
        seen = [notices for notices in self._seen.values() if notices is not None]
        notices = tuple(notice for notices in seen for notice in notices)
        self._tell(Report(self._status(), notices, is_whole=len(seen) == len(self._seen)))

    def _status(self) -> SourceStatus:
        blinding = next((trouble for trouble in self._troubles.values() if trouble.is_blinding), None)
        if blinding is not None:
            return SourceStatus(self._source, "blind", blinding.why)
        if any(notices is None for notices in self._seen.values()):
            return SourceStatus(self._source, "starting", "not seen yet")
        return SourceStatus(self._source, "works", self._works())
