"""Whether a machine has CPUs to spare for something that can wait. Pure.

The kernel's pressure stall information says for how much of the last ten seconds somebody who could have run had to
wait (Documentation/accounting/psi.rst). A training that keeps every core busy and nobody waiting is no reason to wait,
and a load average cannot tell the two apart: it is used only where the kernel keeps no such count.
"""

from __future__ import annotations

import re
from typing import NamedTuple

BUSY = 60.0
"""Percent of the time."""
BUSY_LOAD = 1.5
"""Who runs or wants to, on average of the last minute, for each CPU."""


class CpuSeen(NamedTuple):
    pressure: float | None
    """Percent of the last ten seconds in which somebody waited for a CPU; None: the kernel does not count it."""
    load: float


def is_quiet(seen: CpuSeen) -> bool:
    return seen.pressure < BUSY if seen.pressure is not None else seen.load < BUSY_LOAD


def parse_pressure(text: str) -> float | None:
    """The `avg10` of `some` in /proc/pressure/cpu."""
    found = re.search(r"^some avg10=(\d+(?:\.\d+)?)", text, re.MULTILINE)
    return float(found[1]) if found is not None else None
