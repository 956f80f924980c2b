"""The one function that decides. `decide(spec, record, observation, now)` returns what the record becomes, what is
to be done, what to tell, when to look again and why; it asks no clock, reads no file and draws no lot.

The loop calls it until it asks for nothing more. It saves the record before it performs an action, so a daemon that
is killed in between finds the intent, and the decision is made again from what is seen then. "Why did it not
restart?" is answered by `_after_failure` in `perdured.core.steps`.
"""

from __future__ import annotations

from .observation import Held, Observation
from .record import AttemptRecord, JobRecord
from .spec import Spec
from .steps import Context, Decision
from .table import TABLE
from .triggers import find_trigger

__all__ = ["Decision", "decide"]


def decide(spec: Spec, record: JobRecord, observation: Observation, now: float) -> Decision:
    """The decision for a job whose newest attempt was seen like this at `now` (seconds, steady within a life)."""
    noted = _note_what_was_seen(record, observation)
    trigger = find_trigger(noted, observation.attempt)
    return TABLE[record.phase.kind][trigger].step(Context(spec, noted, observation, now))


def _note_what_was_seen(record: JobRecord, observation: Observation) -> JobRecord:
    """The record with the facts of a live attempt filled in (process, start)."""
    seen, last = observation.attempt, record.last_attempt
    if not isinstance(seen, Held) or last is None or seen.pid is None or last.pid == seen.pid:
        return record
    return record.with_attempt(_seen_alive(last, seen))


def _seen_alive(attempt: AttemptRecord, seen: Held) -> AttemptRecord:
    return attempt.model_copy(update={"pid": seen.pid, "started_at": seen.started_at})
