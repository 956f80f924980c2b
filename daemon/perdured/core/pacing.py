"""What a job has been through, from its attempts: what the interval `auto` is chosen by (`contract.pacing`).

The history is in the record, so it outlives the daemon; where the registry was lost it is read off the attempts'
directories. An attempt whose beginning nobody knows adds no time; its failure counts all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from perdured.contract.pacing import History
from perdured.core.ends.cause import STORAGE, Cause

from .record import JobRecord

NO_FAILURES = frozenset(
    {
        *(Cause.DONE, Cause.RUN_AGAIN, Cause.PERMANENT, Cause.STOPPED, Cause.PREEMPTED),
        *(Cause.NOT_STARTED, Cause.REFUSED, Cause.SYNTAX_ERROR, Cause.IMPORT_ERROR),
        *STORAGE,
    }
)
"""Ends before which the job saved, or that no save would have helped against."""
MACHINE_LOSSES = frozenset({Cause.REBOOTED, Cause.UNKNOWN})
"""Ends with which the keeper and its memory were gone as well; an exit that nobody saw is one."""


def count_history(record: JobRecord) -> History:
    """Of all attempts that have ended."""
    ended = [attempt for attempt in record.attempts if attempt.end is not None]
    causes = [attempt.cause for attempt in ended]
    losses = sum(cause in MACHINE_LOSSES for cause in causes)
    failures = sum(cause not in MACHINE_LOSSES | NO_FAILURES for cause in causes)
    return History(sum(_list_durations(record), 0.0), failures, losses)


def _list_durations(record: JobRecord) -> Iterator[float]:
    """Nobody knows when the end came that nobody saw: the attempt lasted until its last checkpoint at least."""
    for attempt in record.attempts:
        ended_at = attempt.kept_until if attempt.cause in MACHINE_LOSSES else attempt.ended_at
        if attempt.started_at is not None and ended_at is not None:
            yield max(ended_at - attempt.started_at, 0.0)
