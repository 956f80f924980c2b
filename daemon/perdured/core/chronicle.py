"""What the ledger needs to be on record: when a job came into its phase, and now and then what the time of the attempt
under way went into, for the case that its keeper does not live to write it down."""

from __future__ import annotations

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
