"""Whether Slurm's signals reach a job here, and how long before the end.

Measured with Slurm 22.05: when a job is preempted, what `srun` started gets SIGTERM at the *beginning* of GraceTime.
What the batch script started itself gets nothing until GraceTime is over, and then has KillWait: unless the cluster
sends the user's signal (`preempt_send_user_signal`) and the job asked for one with `--signal=B:…`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .finding import Finding
from .sources import SourceSeen

_KILL_WAIT = 30.0
"""Slurm's own default, in seconds."""


class SlurmSeen(NamedTuple):
    job: str
    is_step: bool
    """Started by srun."""
    kill_wait: float = _KILL_WAIT
    """Seconds between the last SIGTERM and SIGKILL."""
    grace: float = 0.0
    """GraceTime of the partition, in seconds."""
    can_be_preempted: bool = False
    sends_user_signal: bool = False
    can_requeue: bool = True


def parse_fields(text: str) -> dict[str, str]:
    """What `scontrol show` prints: "Key=Value" words, or "Key   = Value" lines."""
    lines = re.findall(r"^(\w+)\s+= (.*)$", text, flags=re.MULTILINE)
    return dict(lines) if lines else dict(re.findall(r"(\S+?)=(\S*)", text))


def make_slurm_seen(job: str, *, is_step: bool, config: str, job_text: str, partition: str) -> SlurmSeen:
    """From the answers of `scontrol show config`, `show job` and `show partition`; an empty one says nothing."""
    settings, own, its = parse_fields(config), parse_fields(job_text), parse_fields(partition)
    modes = its.get("PreemptMode") or settings.get("PreemptMode", "OFF")
    options = f"{settings.get('SlurmctldParameters', '')},{settings.get('PreemptParameters', '')}"
    return SlurmSeen(
        job,
        is_step,
        kill_wait=_parse_seconds(settings.get("KillWait"), _KILL_WAIT),
        grace=_parse_seconds(its.get("GraceTime"), 0.0),
        can_be_preempted=settings.get("PreemptType", "preempt/none") != "preempt/none" and modes != "OFF",
        sends_user_signal="send_user_signal" in options,
        can_requeue=own.get("Requeue", "1") != "0",
    )


def make_source(seen: SlurmSeen | None) -> SourceSeen:
    if seen is None:
        return SourceSeen("slurm", "absent")
    if not seen.is_step:
        return SourceSeen("slurm", "works", seen.kill_wait, "KillWait, between the last SIGTERM and the kill")
    if seen.can_be_preempted:
        return SourceSeen("slurm", "works", seen.grace + seen.kill_wait, "GraceTime and KillWait, when preempted")
    return SourceSeen("slurm", "works", seen.kill_wait, "KillWait, besides what --signal asks for")


def judge_slurm(seen: SlurmSeen) -> list[Finding]:
    return [_judge_signal(seen), _judge_requeue(seen)]


def _judge_signal(seen: SlurmSeen) -> Finding:
    check = "slurm signal"
    if seen.is_step:
        return Finding("notices", check, "ok", f"srun started this in job {seen.job}: signals come at once.")
    why = "Of a preemption it hears only when GraceTime is over; what srun starts hears at once."
    todo = "Begin the script's line with `srun`, as `perdure export slurm` writes it."
    what = "The batch script started this without srun."
    if seen.sends_user_signal:
        why = "This cluster sends the signal that --signal=B:… asks for at once, and no other."
        return Finding("notices", check, "warning", what, why, "Ask for it: #SBATCH --signal=B:TERM@120, or use srun.")
    loses = seen.can_be_preempted and seen.grace > 0
    return Finding("notices", check, "problem" if loses else "warning", what, why, todo)


def _judge_requeue(seen: SlurmSeen) -> Finding:
    if seen.can_requeue:
        return Finding("notices", "slurm requeue", "ok", f"Slurm may start job {seen.job} again.")
    why = "A preemption, or the loss of the node, cancels it instead."
    return Finding("notices", "slurm requeue", "warning", "This job is not to be requeued.", why, "#SBATCH --requeue")


def _parse_seconds(text: str | None, otherwise: float) -> float:
    """ "30 sec", "00:00:20", "20"."""
    if text is None:
        return otherwise
    if re.fullmatch(r"\d+:\d+:\d+", text):
        hours, minutes, seconds = (int(part) for part in text.split(":"))
        return float(hours * 3600 + minutes * 60 + seconds)
    number = re.match(r"\d+", text)
    return float(number[0]) if number else otherwise
