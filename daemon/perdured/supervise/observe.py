"""Reads the world for `decide`: the newest attempt, and the newest committed checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from perdured.clock import format_time, read_uptime
from perdured.contract.checkpoint.store import Listed, list_checkpoints
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.core.observation import (
    Absent,
    AttemptSeen,
    CheckpointSeen,
    Ended,
    Held,
    Lost,
    Observation,
    Unverifiable,
    Vitals,
)
from perdured.keeper.records import load_run
from perdured.processes import Resumed, find_stuck, observe_attempt, observe_resume
from perdured.state.paths import StateDir
from perdured.views import CheckpointView, describe_checkpoint

from .job import Job


def observe(job: Job, state: StateDir) -> Observation:
    """All that is known of the job now. What its keeper has told is taken over reading it from the disk again."""
    seen = _observe_attempt(job, state)
    resumed = observe_resume(job.attempt_dir(state)) if not isinstance(seen, Absent) else Resumed()
    step, loss, total = _observe_progress(job)
    return Observation(
        attempt=seen,
        step=step,
        loss=loss,
        total=total,
        checkpoint=job.newest,
        resumed_from_step=resumed.step,
        resumed_from=resumed.path,
        pace=job.status.pace if job.status is not None else None,
        tally=job.status.tally if job.status is not None else None,
        ground=job.ground,
        standby=job.standby,
        vitals=Vitals(pulse=job.status.pulse if job.status is not None else None, at=read_uptime()),
    )


def _observe_progress(job: Job) -> tuple[int | None, float | None, int | None]:
    """Step, loss and number of steps, as the keeper tells them. A job that outlived its keeper is at least where its
    newest checkpoint is; its loss there is not known."""
    status, newest = job.status, job.newest
    if status is None:
        return None, None, None
    told = status.step if status.step is not None else job.record.progress
    if job.link is None and newest is not None and (told is None or newest.step > told):
        return newest.step, None, status.total
    return status.step, status.loss, status.total


def _observe_attempt(job: Job, state: StateDir) -> AttemptSeen:
    if not job.is_under_way:
        return Absent()
    if job.refused is not None:
        return job.refused
    if job.distrust is not None:
        return Unverifiable(why=job.distrust)
    status = job.status
    if job.link is not None and status is not None:
        return Held(
            pid=status.leader_pid,
            started_at=status.started_at,
            saving=status.saving,
            stop_reason=status.stop_reason,
            has_ended=status.exit is not None,
            stuck=_find_stuck(job, state) if status.exit is not None or status.stop_reason is not None else None,
            can_park=status.can_park,
            is_asked_to_park=status.is_asked_to_park,
            stand=status.parked,
        )
    seen = observe_attempt(job.attempt_dir(state))
    is_cleaned = isinstance(seen, Ended | Lost) and job.cleaned == job.number
    return seen.model_copy(update={"is_clean": True}) if is_cleaned else seen


def _find_stuck(job: Job, state: StateDir) -> str | None:
    try:
        run = load_run(job.attempt_dir(state))
    except (OSError, ValueError):
        return None
    return find_stuck(run.keeper.pid) if run is not None else None


def observe_newest_checkpoint(root: Path, suspects: Collection[str] = ()) -> CheckpointSeen | None:
    """The newest healthy checkpoint whose COMMIT, manifest and sizes agree: what a job could resume from. Its bytes are
    hashed before it does. `suspects` are paths that it will not resume from."""
    for listed in list_checkpoints(root):
        if str(listed.path) in suspects:
            continue
        verdict = verify_checkpoint(listed.path, hashes=False)
        if verdict.is_valid and verdict.manifest is not None and verdict.manifest.facts.healthy:
            return CheckpointSeen(step=listed.step, path=str(listed.path), committed_at=listed.committed_at)
    return None


def describe_checkpoints(root: Path, verified: Mapping[str, float] | None = None) -> list[CheckpointView]:
    """Newest first. Nothing is hashed; `verified` says, by name, when each was last."""
    known = verified or {}
    return [_describe_checkpoint(listed, known.get(listed.path.name)) for listed in list_checkpoints(root)]


def _describe_checkpoint(listed: Listed, verified_at: float | None) -> CheckpointView:
    verdict = verify_checkpoint(listed.path, hashes=False)
    manifest = verdict.manifest
    size = sum(file.length for file in manifest.files) if manifest else 0
    healthy = manifest.facts.healthy if manifest else None
    view = describe_checkpoint(listed, size=size, healthy=healthy, valid=verdict.is_valid)
    return view.model_copy(update={"verified_at": format_time(verified_at)})
