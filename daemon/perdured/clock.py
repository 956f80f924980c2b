"""The one place of the daemon that asks the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

Clock = Callable[[], float]
"""Seconds since the epoch, steady within one life of the process."""


def start_clock() -> Clock:
    """A clock that reads the wall once and then counts seconds since boot, so that a step of the wall clock neither
    ends a wait nor stretches it. CLOCK_BOOTTIME goes on while the machine is suspended."""
    offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + offset


def read_boottime() -> float:
    """Seconds since boot, suspended ones included: as keepers count them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_uptime() -> float:
    """Seconds since boot as the kernel's log counts them: without the time in suspend."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def read_suspended() -> float:
    """Seconds that the machine has slept since boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def format_time(seconds: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, as in every JSON that Perdure prints."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
