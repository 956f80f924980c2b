"""How much memory may still be taken here: what the machine has, and what the cgroups that this process is in allow."""

from __future__ import annotations

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def observe_headroom() -> int | None:
    """Bytes that can be taken without pushing anything out; None where nobody says."""
    found = [room for room in (_read_available(), *_read_cgroup_rooms()) if room is not None]
    return min(found, default=None)


def parse_available(meminfo: str) -> int | None:
    """`MemAvailable` of /proc/meminfo, in bytes (proc(5))."""
    for line in meminfo.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def parse_room(maximum: str, current: str, stat: str) -> int | None:
    """What a cgroup may still take: `memory.max` less `memory.current`, where the file cache that has not been used of
    late gives way (`inactive_file` of `memory.stat`). None without a limit."""
    if maximum.strip() == "max":
        return None
    fields = dict(line.split() for line in stat.splitlines() if line)
    return max(int(maximum) - int(current) + int(fields.get("inactive_file", 0)), 0)


def _read_available() -> int | None:
    try:
        return parse_available(_MEMINFO.read_text())
    except (OSError, ValueError):
        return None


def _read_cgroup_rooms() -> list[int | None]:
    """Of the cgroup (version 2) that this process is in, and of all above it."""
    try:
        line = next(line for line in _OWN_CGROUP.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return []
    own = _CGROUPS / line.removeprefix("0::").lstrip("/")
    return [_read_room(path) for path in (own, *own.parents) if path.is_relative_to(_CGROUPS)]


def _read_room(cgroup: Path) -> int | None:
    try:
        return parse_room(*((cgroup / f"memory.{name}").read_text() for name in ("max", "current", "stat")))
    except (OSError, ValueError):  # the root has no limit
        return None
