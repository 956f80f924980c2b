"""How busy the CPUs are, and what a process has loaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from perdured.core.quiet import CpuSeen, parse_pressure

_PRESSURE = Path("/proc/pressure/cpu")


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
