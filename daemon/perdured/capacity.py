"""What this machine has for jobs to share: by the config, else all of it."""

from __future__ import annotations

import math
import os
from typing import NamedTuple

from .core.queue.amounts import Amounts


class Limits(NamedTuple):
    """The config's word; None where it says nothing."""

    jobs: int | None = None
    cpus: int | None = None
    memory: int | None = None
    """Bytes."""
    gpus: tuple[str, ...] | None = None
    """UUIDs."""


def observe_capacity(limits: Limits = Limits()) -> Amounts:  # noqa: B008 - a value
    return Amounts(
        jobs=math.inf if limits.jobs is None else limits.jobs,
        cpus=len(os.sched_getaffinity(0)) if limits.cpus is None else limits.cpus,
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if limits.memory is None else limits.memory,
    )
