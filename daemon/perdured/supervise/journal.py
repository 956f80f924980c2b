"""Records and publishes: every change of a record, and every event, goes through here and into the registry first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from perdured.clock import Clock
from perdured.core.events import Event
from perdured.core.record import JobRecord
from perdured.state.registry import Registry, StoredEvent
from perdured.state.submission import Submission

from .job import Job


class Journal:
    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._changed = asyncio.Event()

    def save_submission(self, submission: Submission, record: JobRecord, events: Iterable[Event]) -> None:
        self._registry.save_submission(submission, record, events, self._clock())
        self._publish()

    def save(self, record: JobRecord, events: Iterable[Event]) -> None:
        self._registry.save_record(record, events, self._clock())
        self._publish()

    def tell(self, job: Job, events: Iterable[Event]) -> None:
        """Events that change no record."""
        events = [event.model_copy(update={"attempt": event.attempt or job.number}) for event in events]
        if events:
            self._registry.save_events(job.id, events, self._clock())
            self._publish()

    def load_events(self, after: int, job: str | None) -> list[StoredEvent]:
        return self._registry.load_events(after, job)

    async def wait_for_change(self, after: int) -> int:
        """The newest event's number, once there is one after `after`."""
        while (newest := self._registry.last_event()) <= after:
            await self._changed.wait()
        return newest

    def _publish(self) -> None:
        """Wakes all who wait, and lets those who come later wait for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()
