"""What happened, for people and for programs that follow along."""

from __future__ import annotations

from .value import Value


class Event(Value):
    kind: str
    """Of a decision: starting, started, saving, hung, waiting, orphaned, succeeded, failed, stopped, parked,
    going_on, queued.
    Of the world around it: submitted, asked, checkpoint, quarantined, uploaded, fetched, given_back, remote,
    note."""
    text: str
    attempt: int | None = None
    step: int | None = None
