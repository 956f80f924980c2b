"""The jobs to look at: those of the daemon, or one spec that was named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from perdured import disks
from perdured.contract.checkpoint.store import list_checkpoints
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.core.doctor.saves import SaveSeen, reckon_save
from perdured.core.record import UNDER_WAY
from perdured.state.submission import Submission
from perdured.wire import Job

from . import storage

_USUAL_KEEP = 3


class Subject(NamedTuple):
    name: str
    directory: Path
    """Of its checkpoints."""
    keep: int = _USUAL_KEEP
    wants_memory_tier: bool = False
    """And has none yet, as it does not run."""
    seconds: float | None = None
    """That its saves have taken."""


class Checkpoints(NamedTuple):
    """What lies in the directory of a subject."""

    kept: int = 0
    size: int | None = None
    """Bytes of the newest whole one."""


def list_subjects(jobs: Iterable[Job], submission: Submission | None) -> list[Subject]:
    """The spec that was named alone, if there is one."""
    if submission is not None:
        spec = submission.spec
        running = next((job for job in jobs if Path(job["checkpoint_dir"]) == submission.checkpoint_dir), None)
        seconds = _find_seconds(running) if running is not None else None
        wants = spec.checkpoint.memory and (running is None or running["state"] not in UNDER_WAY)
        return [Subject(spec.job_name, submission.checkpoint_dir, spec.checkpoint.keep, wants, seconds)]
    return [Subject(job["name"], Path(job["checkpoint_dir"]), seconds=_find_seconds(job)) for job in jobs]


def observe_checkpoints(directory: Path) -> Checkpoints:
    try:
        listed = list_checkpoints(directory)
    except OSError:
        return Checkpoints()
    for each in listed:
        manifest = verify_checkpoint(each.path, hashes=False).manifest
        if manifest is not None:
            return Checkpoints(len(listed), sum(file.length for file in manifest.files))
    return Checkpoints(len(listed))


def measure_saves(subjects: Sequence[tuple[Subject, Checkpoints]]) -> list[SaveSeen]:
    """As the jobs measured them; else from their size and a trial of their disk, one for each disk."""
    speeds: dict[str, float | None] = {}
    saves = []
    for subject, found in subjects:
        if subject.seconds is not None:
            saves.append(SaveSeen(subject.name, found.size, subject.seconds, is_measured=True))
        elif found.size is not None:
            speed = _measure_once(subject.directory, speeds)
            saves.append(reckon_save(subject.name, found.size, speed) if speed else SaveSeen(subject.name, found.size))
        else:
            saves.append(SaveSeen(subject.name))
    return saves


def _measure_once(directory: Path, speeds: dict[str, float | None]) -> float | None:
    place = disks.observe_file_system(directory)
    key = place.point if place is not None else str(directory)
    if key not in speeds:
        at = storage.find_existing(directory)
        speeds[key] = storage.with_patience(lambda: storage.measure_speed(at), None)
    return speeds[key]


def _find_seconds(job: Job) -> float | None:
    """Into memory and from there to the disk, as its saves have taken on average."""
    pace = job["pace"]
    if pace is None or pace["write"] is None:
        return None
    return pace["write"] + (pace["copy"] or 0.0)
