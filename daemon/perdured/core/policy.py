"""When and whether to start again: pure arithmetic over the record.

Progress resets the budget: only failures in a row without a new checkpoint count. Preemption, a reboot and an exit
with 75 are never failures. The first restart after real progress is immediate; after that the delay doubles, with
jitter so that jobs that fell together do not rise together.
"""

from __future__ import annotations

import zlib

from .record import JobRecord
from .spec import Backoff


def has_advanced(record: JobRecord, newest_step: int | None) -> bool:
    """Whether a checkpoint newer than all before was committed since the last end of an attempt."""
    return newest_step is not None and (record.progress is None or newest_step > record.progress)


def backoff_delay(backoff: Backoff, failures: int, job: str) -> float:
    """Seconds before the next start after `failures` in a row without progress (1, 2, …).

    Exponential from `backoff.first` to `backoff.longest`, times 0.5 to 1.0. The jitter is drawn from the job's id
    and the count, so that the decision stays a pure function.
    """
    exponent = min(max(failures, 1) - 1, 30)
    full = min(backoff.first * 2.0**exponent, backoff.longest)
    jitter = zlib.crc32(f"{job}/{failures}".encode()) / 0xFFFFFFFF
    return full * (0.5 + 0.5 * jitter)
