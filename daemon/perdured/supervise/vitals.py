"""Looks at the signs of life of a job: its steps by its keeper's word, its output and its file by their size."""

from __future__ import annotations

import os
from pathlib import Path

from perdured.clock import read_suspended, read_uptime
from perdured.core.diagnosis import list_limits
from perdured.core.hang import find_tick
from perdured.core.observation import Vitals
from perdured.core.pulse import Look, Watch, WatchKind, watch_on
from perdured.keeper.records import OUTPUT_LOG
from perdured.processes import Surveyor, is_paused
from perdured.state.paths import StateDir

from .job import Job

SURVEY_PAUSE = 10.0
"""Seconds between two looks at what an attempt has; they come with other reasons to look at it."""


def examine(job: Job, state: StateDir, surveyor: Surveyor) -> Vitals:
    """One look at all that an attempt under way shows of itself."""
    observe_belongings(job, surveyor)
    return observe_vitals(job, state)


def observe_vitals(job: Job, state: StateDir) -> Vitals:
    """One more look. Of a job that no keeper speaks for, nothing can be said."""
    status = job.status
    if job.link is None or status is None or not job.is_under_way:
        job.watches = {}
        return Vitals()
    vitals = Vitals(pulse=status.pulse, unhealthy=status.unhealthy, at=read_uptime())
    if status.parked is not None:
        job.watches = {}  # when it goes on, nothing of its silence shall count
    limits = list_limits(job.submission.spec.health, vitals)
    looks = {kind: _look(kind, job, state, limit) for kind, limit in limits.items()}
    job.watches = {kind: watch for kind, watch in looks.items() if watch is not None}
    return vitals.model_copy(update={"watches": dict(job.watches)})


def observe_belongings(job: Job, surveyor: Surveyor) -> None:
    """What the attempt has, soon after its start and now and then: it cannot be asked any more when it has ended."""
    status, now = job.status, read_uptime()
    if job.link is None or status is None or status.exit is not None:
        return
    is_of_this_attempt = status.leader_pid in job.had.pids
    if not is_of_this_attempt or now - job.had.at >= SURVEY_PAUSE:
        job.had = surveyor.survey(status.leader_pid)


def _look(kind: WatchKind, job: Job, state: StateDir, limit: float) -> Watch | None:
    before, status = job.watches.get(kind), job.status
    assert status is not None
    if kind == "steps":
        if status.pulse is None:
            return None
        if before is not None and (before.mark, before.looked_at) == (status.pulse.heard_at, status.pulse.told_at):
            return before
        mark, since, at = status.pulse.heard_at, status.pulse.heard_at, status.pulse.told_at
    else:
        at = read_uptime()
        mark = _read_mark(_path_of(kind, job, state))
        since = at if before is None or before.mark != mark else before.since
    if kind == "steps" and (before is None or before.mark != mark):
        job.shape = None
    is_silent = before is not None and before.mark == mark and at - before.since > limit / 4
    look = Look(
        at=at,
        mark=mark,
        since=since,
        is_paused=is_silent and is_paused(status.leader_pid),
        suspended=read_suspended(),
        shape=job.shape if kind == "steps" else None,
    )
    return watch_on(before, look, find_tick(limit))


def _path_of(kind: WatchKind, job: Job, state: StateDir) -> Path:
    if kind == "output":
        return job.attempt_dir(state) / OUTPUT_LOG
    return Path(job.submission.workdir) / (job.submission.spec.health.file or "")


def _read_mark(path: Path) -> float:
    """Changes with every write; of a file that is not there yet, it is 0."""
    try:
        seen = os.stat(path)
    except OSError:
        return 0.0
    return seen.st_mtime + seen.st_size
