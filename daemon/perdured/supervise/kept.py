"""Holds the arena of each job's newest attempt, as `core/kept.py` decides, and says where the next one finds it.

It is an open descriptor and nothing more: what is in the arena is proven by who loads it, against the checkpoint on the
disk. Whatever goes wrong here leaves the job as it would be without: the next attempt reads the disk.

Known limits. Who may not look into the daemon's /proc, in a PID namespace of its own or as another user, reads the
disk. A daemon that is restarted between two attempts has let go.
"""

from __future__ import annotations

import os

from perdured.contract import messages
from perdured.core.kept import LONGEST, KeptSeen, decide_kept
from perdured.keeper.talk import MemoryPlace
from perdured.processes import open_arena

from .job import Job, Kept


def look_after_memory(job: Job, now: float) -> float | None:
    """Sees to it that the right arena is held, or none. Returns when to look again."""
    offered = job.status.memory if job.status is not None and job.link is not None else None
    kept = job.kept
    is_of_living = kept is not None and offered == kept.place and job.number == kept.attempt
    if kept is not None and not is_of_living and kept.alone_since is None:
        kept.alone_since = now
    seen = KeptSeen(
        has_new=offered is not None and not is_of_living,
        is_of_living=is_of_living,
        is_job_resting=job.record.is_resting,
        is_next_training=_is_training(job) and not is_of_living,
        alone_since=kept.alone_since if kept is not None else None,
    )
    decision = decide_kept(seen, now)
    if decision != "keep":
        let_go_of_memory(job)
    if decision == "hold" and offered is not None:
        _hold(job, offered)
    return job.kept.alone_since + LONGEST if job.kept is not None and job.kept.alone_since is not None else None


def let_go_of_memory(job: Job) -> None:
    if job.kept is not None:
        os.close(job.kept.descriptor)
    job.kept = None


def _is_training(job: Job) -> bool:
    pulse = job.status.pulse if job.status is not None and job.status.exit is None else None
    return job.link is not None and pulse is not None and pulse.phase != messages.STARTING


def _hold(job: Job, place: MemoryPlace) -> None:
    descriptor = open_arena(place)
    if descriptor is not None and job.number is not None:
        job.kept = Kept(job.number, place, descriptor)
