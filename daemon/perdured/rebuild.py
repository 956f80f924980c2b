"""A registry anew, from the job directories: what was submitted, which attempts there were and how they ended.

Lost with the registry are only the events and the count of failures. Each job's phase is set so that the next
decision, made from what is seen, ends where it would have ended: an attempt that still runs is adopted, one that
ended is judged.
"""

from __future__ import annotations

import logging
from pathlib import Path

from .contract.durable import load_json
from .core.events import Event
from .core.record import AttemptRecord, JobRecord, Phase, Queued, Running, Wish
from .core.spec import Spec
from .keeper.records import ExitRecord, load_exit
from .paths import StateDir
from .registry import Registry
from .submission import Submission

_log = logging.getLogger("perdured")


def rebuild_registry(registry: Registry, state: StateDir, now: float) -> int:
    """Fills an empty registry; returns the number of jobs found. What cannot be read is named and left where it is."""
    found = 0
    for directory in sorted(state.jobs.glob("*/submission.json")):
        try:
            submission, record = _read_job(directory.parent, now)
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.error("%s cannot be read and was left alone: %s", directory, error)
            continue
        registry.save_submission(submission, record, [Event(kind="note", text="found again on the disk")], now)
        found += 1
    return found


def _read_job(directory: Path, now: float) -> tuple[Submission, JobRecord]:
    content = load_json(directory / "submission.json")
    if not isinstance(content, dict):
        raise TypeError("submission.json holds no object")
    submission = Submission(Spec.model_validate(content["spec"]), dict(content["env"]), str(content["workdir"]))
    numbers = sorted(int(path.name) for path in directory.glob("attempts/*") if path.name.isdecimal())
    attempts = tuple(_read_attempt(directory / "attempts" / str(number), number) for number in numbers)
    phase: Phase = Running(attempt=numbers[-1]) if numbers else Queued()
    submitted_at = float(content.get("submitted_at", now))
    record = JobRecord(id=directory.name, name=submission.spec.job_name, submitted_at=submitted_at, phase=phase)
    return submission, record.but(
        attempts=attempts, reason="found again on the disk", wish=_wish_of(directory, numbers)
    )


def _wish_of(directory: Path, numbers: list[int]) -> Wish:
    """A job that was stopped by hand stays stopped."""
    end = _load_exit(directory / "attempts" / str(numbers[-1])) if numbers else None
    return "stop" if end is not None and end.stop_reason == "stop" else "run"


def _read_attempt(directory: Path, number: int) -> AttemptRecord:
    end = _load_exit(directory)
    if end is None:
        return AttemptRecord(number=number)
    return AttemptRecord(number=number, exit_code=end.exit_code, signal=end.signal, ended_at=end.at)


def _load_exit(directory: Path) -> ExitRecord | None:
    try:
        return load_exit(directory)
    except (OSError, ValueError):
        return None
