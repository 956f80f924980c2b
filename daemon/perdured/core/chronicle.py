"""What has to be on record before an attempt has ended, for the case that its machine goes and its keeper does not live
to write it down: when the job came into its phase, now and then what the time of the attempt went into, and what its
saves have taken, by which the next one knows what fits before a deadline."""

from __future__ import annotations

from perdured.contract.pacing import Pace

from .notice_plan import MEASURED, join_pace
from .record import JobRecord
from .tally import Tally

NOTE_EVERY = 300.0
"""Seconds of an attempt: what the loss of the machine can take from the ledger. Each note is a write."""


def stamp_change(before: JobRecord, after: JobRecord, now: float) -> JobRecord:
    """The record with the time of its change of phase; of a start, also with that of the wait for it in the queue."""
    if after.phase.kind == before.phase.kind:
        return after
    after = after.but(phase_since=now)
    if after.phase.kind != "starting":
        return after
    queued_at = before.phase_since if before.phase.kind == "queued" else None
    return after.with_attempt(after.attempts[-1].model_copy(update={"launched_at": now, "queued_at": queued_at}))


def note_tally(record: JobRecord, tally: Tally | None) -> JobRecord:
    """The record with the tally of the last attempt, if it has grown by as much as one may afford to lose."""
    last = record.attempts[-1]
    noted = last.tally.total if last.tally is not None else 0.0
    if tally is None or tally.total < noted + NOTE_EVERY:
        return record
    return record.with_attempt(last.model_copy(update={"tally": tally}))


def note_pace(record: JobRecord, pace: Pace | None) -> JobRecord:
    """The record with what this attempt is the first to measure. The rest is noted when it stands still or ends."""
    if pace is None or not any(_is_first(name, pace, record.pace) for name in MEASURED):
        return record
    return record.but(pace=join_pace(pace, record.pace))


def _is_first(name: str, now: Pace, before: Pace | None) -> bool:
    return getattr(now, name) is not None and (before is None or getattr(before, name) is None)
