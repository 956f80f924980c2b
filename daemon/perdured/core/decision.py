"""What a step of the table takes and what it returns."""

from __future__ import annotations

from typing import NamedTuple

from .actions import Action
from .events import Event
from .observation import Observation
from .record import JobRecord, ParkedInPlace, Running, Saving, Starting
from .spec import Spec


class Context(NamedTuple):
    spec: Spec
    record: JobRecord
    observation: Observation
    now: float

    @property
    def attempt(self) -> int:
        """The number of the attempt under way."""
        phase = self.record.phase
        assert isinstance(phase, Starting | Running | Saving | ParkedInPlace)
        return phase.attempt


class Decision(NamedTuple):
    record: JobRecord
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    wake_at: float | None = None
    """Look again at this time even if nothing happens; None means that something will happen."""

    def before(self, time: float | None) -> Decision:
        """The same, with a look at this time at the latest."""
        if time is None or (self.wake_at is not None and self.wake_at <= time):
            return self
        return self._replace(wake_at=time)


def tell(record: JobRecord, kind: str) -> Event:
    """The event that says why the record is now what it is."""
    number = record.last_attempt.number if record.last_attempt else None
    return Event(kind=kind, text=record.reason, attempt=number, step=record.progress)
