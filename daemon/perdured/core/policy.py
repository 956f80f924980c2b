"""When and whether to start again: pure arithmetic over the record.

Progress resets the budget: only failures in a row without a new checkpoint count. Preemption, a reboot and an exit
with 75 are never failures. The first restart after real progress is immediate; after that the delay doubles, with
jitter so that jobs that fell together do not rise together.
"""

from __future__ import annotations

import zlib

from perdured.core.ends.cause import Cause

from .record import JobRecord, Wish
from .spec import Backoff


def has_advanced(record: JobRecord, newest_step: int | None) -> bool:
    """Whether the last attempt committed a checkpoint newer than all before it. One that it only found there, such as
    that of an earlier job in the same directory, is no progress of its own."""
    last = record.last_attempt
    if last is None or last.pid is None or newest_step is None:
        return False
    return all(newest_step > step for step in (record.progress, last.resumed_from_step) if step is not None)


def count_idle_ends(record: JobRecord) -> int:
    """Attempts at the end of the history that committed nothing new: they got nowhere."""
    count = 0
    for attempt in reversed(record.attempts):
        if attempt.kept_until is not None:
            break
        count += 1
    return count


def backoff_delay(backoff: Backoff, failures: int, job: str) -> float:
    """Seconds before the next start after `failures` in a row without progress (1, 2, …; 0 needs none).

    Exponential from `backoff.first` to `backoff.longest`, times 0.5 to 1.0. The jitter is drawn from the job's id
    and the count, so that the decision stays a pure function.
    """
    if failures <= 0:
        return 0.0
    full = min(backoff.first * 2.0 ** min(failures - 1, 60), backoff.longest)
    jitter = zlib.crc32(f"{job}/{failures}".encode()) / 0xFFFFFFFF
    return full * (0.5 + 0.5 * jitter)


LONGEST_PROBE = 3600.0
_FIRST_PROBE = {Cause.QUOTA: 300.0, Cause.READ_ONLY: 60.0, Cause.IN_USE: 5.0, Cause.NO_UNIT: 5.0}


def probe_delay(cause: Cause, in_vain: int = 0) -> float:
    """Seconds until the storage is probed again: half a minute, longer for what only a person mends, less for one that
    another job holds.

    `in_vain` counts the attempts that found it well and failed of it all the same, which may be another disk's doing.
    """
    return float(min(_FIRST_PROBE.get(cause, 30.0) * 2.0 ** min(max(in_vain, 0), 20), LONGEST_PROBE))


def wish_on_return(record: JobRecord) -> Wish:
    """What is wished of a job once the daemon has started: the machine is back, so what was parked, or was about to
    be, goes on."""
    if record.is_resting and record.will_run:
        return "restart"
    return "run" if record.wish == "park" else record.wish
