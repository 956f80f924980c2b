"""What happened, for people and for programs that follow along."""

from __future__ import annotations

from .value import Value


class Event(Value):
    kind: str
    """One of submitted, starting, started, saving, ended, waiting, checkpoint, quarantined, adopted, orphaned,
    succeeded, failed, stopped, parked, asked."""
    text: str
    attempt: int | None = None
    step: int | None = None
