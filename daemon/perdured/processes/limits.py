"""Whether an attempt has a limit of memory: of its own cgroup, or of the unit that its keeper is.

It is looked and not taken from whoever was asked for it: a service manager takes the word of a limit also where it has
no controller to keep it.
"""

from __future__ import annotations

from pathlib import Path

from perdured.keeper import cgroup, records

from .units import BESIDE_THE_JOB


def is_limited(attempt: Path, memory: int) -> bool:
    """To so many bytes, beside its keeper. Of one that is over already there is nothing to say: True."""
    run = records.load_run(attempt)
    limit = cgroup.read_memory_limit(run.leader.pid) if run is not None else None
    return limit is None or limit <= memory + BESIDE_THE_JOB
