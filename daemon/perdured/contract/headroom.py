"""How much memory may still be taken here: what the machine has, and what the cgroups allow that this process is in.

What counts as free is what the kernel would give without swapping: of a cgroup its limit less what it has, but for the
cache of files that nobody has read of late.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .cgroups import MOUNTS, parse_cgroups

_MEMINFO = Path("/proc/meminfo")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_LIMITS = (
    *((mount, "", "memory.max", "memory.current", "inactive_file") for mount in MOUNTS),
    ("/sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def observe_headroom() -> int | None:
    """Bytes that can be taken without pushing anything out; None where nobody says."""
    return min((*_read_available(), *_read_cgroup_rooms()), default=None)


def parse_available(meminfo: str) -> int | None:
    """`MemAvailable` of /proc/meminfo, in bytes (proc(5))."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def parse_room(maximum: str, current: str, stat: str, cache: str = "inactive_file") -> int | None:
    """What a cgroup may still take; `cache` is the line of `memory.stat` that gives way. None without a limit."""
    if maximum.strip() == "max":
        return None
    fields = dict(line.split() for line in stat.splitlines() if line)
    return max(int(maximum) - int(current) + int(fields.get(cache, 0)), 0)


def _read_available() -> Iterator[int]:
    with contextlib.suppress(OSError, ValueError):
        available = parse_available(_MEMINFO.read_text(encoding="ascii"))
        if available is not None:
            yield available


def _read_cgroup_rooms() -> Iterator[int]:
    """Of the cgroups that this process is in, and of all above them."""
    try:
        paths = parse_cgroups(_OWN_CGROUPS.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):
        return
    for mount, controller, limit, used, cache in _LIMITS:
        place = Path(mount) / paths.get(controller, "")
        while place != Path(mount).parent:
            with contextlib.suppress(OSError, ValueError):  # the root has no limit
                maximum, current, stat = ((place / name).read_text() for name in (limit, used, "memory.stat"))
                room = parse_room(maximum, current, stat, cache)
                if room is not None:
                    yield room
            place = place.parent
