"""What Slurm's controller says of the job in which all this runs. Pure.

`EndTime` is asked for again and again, since it moves: a preemption brings it forward to the end of the grace, an
operator may move it either way. SLURM_JOB_END_TIME in the environment is frozen at the start, and older Slurms lack it.
The times are asked for in UTC, because Slurm prints them without a zone.

How often: each question is a call to the one controller of the whole cluster, so four a minute, while that is often
enough. It is not where the partition takes jobs away after a short GraceTime, and the job hears no signal of it: there
a quarter of that time passes between two questions, though never less than LEAST. A GraceTime of 0 leaves nothing that
asking could find; or else it is a QOS that has one, which nobody can see from here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .answer import Failed, Look, cut_raw, shorten
from .notice import Notice, make_notice_id
from .times import parse_bare_utc

_FIELD = re.compile(r"(?:^|\s)([A-Za-z][A-Za-z/:]*)=(\S*)")
_LIMIT = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
EVERY = 15.0
LEAST = 3.0
"""Seconds between two questions."""
_OF_THE_GRACE = 0.25
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
    partition: str = ""


class Preemption(NamedTuple):
    """What the partition lets happen to its jobs."""

    happens: bool = False
    grace: float = 0.0
    """Seconds from its beginning to the end; 0 also where a QOS may have another."""


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
        partition=fields.get("Partition", ""),
    )


def parse_partition(text: str) -> Preemption:
    """`scontrol show partition -o`."""
    fields = dict(_FIELD.findall(text))
    if "PartitionName" not in fields:
        raise Failed(f"the controller's answer cannot be read: {shorten(text)}")
    grace = fields.get("GraceTime", "")
    happens = fields.get("PreemptMode", "OFF").upper() != "OFF"
    return Preemption(happens, float(grace) if happens and grace.isdecimal() else 0.0)


def choose_pause(preemption: Preemption) -> float:
    """Seconds between two questions."""
    if not preemption.grace:
        return EVERY
    return min(max(_OF_THE_GRACE * preemption.grace, LEAST), EVERY)


def say_listening(job: SlurmJob, preemption: Preemption) -> str:
    again = "it is queued again when it is preempted" if job.requeues else "it is not queued again"
    asked = f"the end of job {job.id}, asked each {choose_pause(preemption):.0f} s"
    if not preemption.happens:
        return f"{asked}; {again}"
    if not preemption.grace:
        return f"{asked}; partition {job.partition} gives no time when it preempts (a QOS may); {again}"
    return f"{asked}, as a preemption leaves {preemption.grace:.0f} s; {again}"


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
