"""Looks at the machine itself."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from perdured.contract import durable
from perdured.core.doctor.machine import Memory, parse_meminfo
from perdured.keeper import cgroup

_SHARED = Path("/dev", "shm")
_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""


def observe_memory() -> Memory | None:
    try:
        memory = parse_meminfo(Path("/proc/meminfo").read_text(encoding="ascii"))
    except (OSError, KeyError):
        return None
    rooms = [memory.available, *_read_limits()]
    return memory._replace(available=min(rooms))


def _read_limits() -> list[int]:
    """What the memory cgroup of this process may still take; of v2, where a container sees it, or of v1."""
    pairs = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
    found = []
    for limit, usage in pairs:
        try:
            most, used = (int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii")) for name in (limit, usage))
        except (OSError, ValueError):
            continue
        found.append(max(most - used, 0))
    return found


def observe_shared_memory() -> int | None:
    try:
        seen = os.statvfs(_SHARED)
    except OSError:
        return None
    return seen.f_blocks * seen.f_frsize


def observe_clock() -> bool | None:
    """Whether the kernel holds the clock to be synchronised; None where it does not say."""
    timex = ctypes.create_string_buffer(512)  # larger than struct timex; modes = 0: only reads
    state: int = ctypes.CDLL(None).adjtimex(timex)
    return None if state < 0 else state != _TIME_ERROR


def try_cgroup() -> bool:
    """Whether an attempt could have one. It is made and removed."""
    leaf = cgroup.make_leaf(f"perdure-doctor-{durable.make_token()}")
    if leaf is None:
        return False
    os.rmdir(leaf)
    return True
