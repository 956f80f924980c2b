"""What Slurm's controller says of the job in which all this runs. Pure.

`EndTime` is asked for again and again, since it moves: a preemption brings it forward to the end of the grace, an
operator may move it either way. SLURM_JOB_END_TIME in the environment is frozen at the start, and older Slurms lack it.
The times are asked for in UTC, because Slurm prints them without a zone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .answer import Failed, Look, cut_raw, shorten
from .notice import Notice, make_notice_id
from .times import parse_bare_utc

_FIELD = re.compile(r"(?:^|\s)([A-Za-z][A-Za-z/:]*)=(\S*)")
_LIMIT = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
_SOONER = 5.0
"""Seconds. An end that much before the time limit was brought forward."""


class SlurmJob(NamedTuple):
    id: str
    state: str
    started_at: float | None
    ends_at: float | None
    limit: float | None
    """Seconds; None: no limit, or an unknown one."""
    is_preempted: bool
    requeues: bool
    restarts: int


def parse_job(text: str) -> SlurmJob:
    """`scontrol show job -o`, in UTC."""
    fields = dict(_FIELD.findall(text))
    if "JobId" not in fields or "EndTime" not in fields:
        raise Failed(f"the controller's answer cannot be read: {shorten(text)}")
    return SlurmJob(
        id=fields["JobId"],
        state=fields.get("JobState", "?"),
        started_at=parse_bare_utc(fields.get("StartTime", "")),
        ends_at=parse_bare_utc(fields["EndTime"]),
        limit=parse_limit(fields.get("TimeLimit", "")),
        is_preempted=parse_bare_utc(fields.get("PreemptTime", "")) is not None,
        requeues=fields.get("Requeue") == "1",
        restarts=int(fields["Restarts"]) if fields.get("Restarts", "").isdecimal() else 0,
    )


def parse_limit(text: str) -> float | None:
    """ "1-02:03:04", "00:30:00"; None for "UNLIMITED" and for what is no time."""
    match = _LIMIT.fullmatch(text)
    if match is None:
        return None
    days, first, second, third = match.groups()
    hours, minutes, seconds = (first, second, third) if third is not None else ("0", first, second)
    return float(int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds))


def find_notices(job: SlurmJob, look: Look, text: str = "") -> tuple[Notice, ...]:
    """The end of the time limit from the start on, and a preemption in its place once there is one."""
    if job.ends_at is None:
        return ()
    is_taken = job.is_preempted or _is_brought_forward(job)
    again = "; it is queued again" if is_taken and job.requeues else ""
    notice = Notice(
        id=make_notice_id("slurm", job.id, str(job.restarts), "preempt" if is_taken else "walltime"),
        kind="preempt" if is_taken else "walltime",
        source="slurm",
        why=f"Slurm takes job {job.id} off this machine{again}"
        if is_taken
        else f"the time of Slurm's job {job.id} ends",
        deadline=look.to_ours(job.ends_at),
        sureness="exact",
        follows="kill",
        disk="kept",
        received_at=look.at,
        boot_id=look.boot_id,
        raw=cut_raw(text),
    )
    return (notice,)


def _is_brought_forward(job: SlurmJob) -> bool:
    if job.limit is None or job.started_at is None or job.ends_at is None:
        return False
    return job.ends_at < job.started_at + job.limit - _SOONER
