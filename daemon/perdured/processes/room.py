"""What there is for something that could be done without, memory and CPUs, and what a process has loaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from perdured.core.quiet import CpuSeen, parse_pressure
from perdured.keeper.cgroup import MOUNTS, parse_cgroups

_PRESSURE = Path("/proc/pressure/cpu")
_LIMITS = (
    *((mount, "", "memory.max", "memory.current", "inactive_file") for mount in MOUNTS),
    ("/sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def observe_available() -> int:
    """Bytes that can be had without swapping, within the limits of our own cgroup and of all above it."""
    return min(_read_machine(), *_read_headrooms(), 1 << 62)


def observe_cpus() -> CpuSeen:
    """How much they are asked for, by the kernel's own count of who waits where it keeps one."""
    pressure = None
    with contextlib.suppress(OSError):  # kernels without PSI, or with psi=0
        pressure = parse_pressure(_PRESSURE.read_text(encoding="ascii"))
    return CpuSeen(pressure, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def has_loaded(pid: int, packages: Collection[str]) -> bool:
    """Whether a library of one of these Python packages is mapped into it. False where that may not be seen."""
    try:
        text = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(f"/{name.partition('.')[0]}/" in text for name in packages)


def _read_machine() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 1 << 62


def _read_headrooms() -> Iterator[int]:
    paths = parse_cgroups(Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="surrogateescape"))
    for mount, controller, limit, used, cache in _LIMITS:
        place = Path(mount) / paths.get(controller, "")
        while place != Path(mount).parent:
            with contextlib.suppress(OSError, ValueError):  # no such limit there
                yield max(int((place / limit).read_text()) - _read_used(place, used, cache), 0)
            place = place.parent


def _read_used(place: Path, used: str, cache: str) -> int:
    """Without the cache of files that the kernel would give back first."""
    total = int((place / used).read_text())
    stats = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
    return total - int(stats.get(cache, "0"))
