"""A registry anew, from the job directories: what was submitted, which attempts there were and how they ended.

Lost with the registry are only the events and, of a job that was under way, the count of failures. A job at rest is
found as it was. Of any other the phase is set so that the next decision, made from what is seen, ends where it would
have ended: an attempt that still runs is adopted, one that ended is judged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from perdured.contract import environment
from perdured.contract.pacing import Pace
from perdured.core.ends.classify import classify_end
from perdured.core.events import Event
from perdured.core.observation import AttemptSeen, Ended, Lost
from perdured.core.record import AttemptRecord, JobRecord, Starting, Wish
from perdured.keeper.records import load_want
from perdured.processes import observe_attempt, observe_resume

from .beside import load_beside
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
    found = load_beside(directory)
    submission = found.submission
    numbers = sorted(int(path.name) for path in directory.glob("attempts/*") if path.name.isdecimal())
    if found.rest is not None and _is_of(found.rest, directory.name, numbers):
        return submission, found.rest
    seen = {number: observe_attempt(directory / "attempts" / str(number)) for number in numbers}
    record = JobRecord(
        id=directory.name,
        name=submission.spec.job_name,
        submitted_at=found.submitted_at if found.submitted_at is not None else now,
        reason="found again on the disk",
    )
    if not numbers:
        return submission, record
    last = numbers[-1]
    ended = (_describe(directory / "attempts" / str(number), seen[number]) for number in numbers[:-1])
    newest = AttemptRecord(number=last, gpus=_find_gpus(directory / "attempts" / str(last), submission))
    attempts = (*ended, newest)
    record = record.but(phase=Starting(attempt=last), attempts=attempts, wish=_wish_after(seen[last]))
    return submission, record.but(pace=_find_pace(seen[number] for number in reversed(numbers)))


def _find_gpus(attempt: Path, submission: Submission) -> tuple[str, ...]:
    """Those that it was given: it may run, and nobody else is to have them then."""
    if not submission.spec.resources.gpus:
        return ()
    try:
        given = load_want(attempt).env.get(environment.VISIBLE_GPUS, "")
    except (OSError, ValueError):
        return ()
    return tuple(uuid for uuid in given.split(",") if uuid)


def _find_pace(seen: Iterable[AttemptSeen]) -> Pace | None:
    return next((each.exit.pace for each in seen if isinstance(each, Ended) and each.exit.pace is not None), None)


def _is_of(rest: JobRecord, job: str, numbers: list[int]) -> bool:
    """Not if another attempt was made since."""
    last = rest.last_attempt.number if rest.last_attempt else 0
    return rest.id == job and rest.is_resting and max(numbers, default=0) <= last


def _wish_after(seen: AttemptSeen) -> Wish:
    """A job that was stopped by hand stays stopped."""
    return "stop" if isinstance(seen, Ended) and seen.exit.stop_reason == "stop" else "run"


def _describe(directory: Path, seen: AttemptSeen) -> AttemptRecord:
    """An attempt that others followed."""
    resumed = observe_resume(directory)
    facts: dict[str, object] = {"resumed_from_step": resumed.step, "resumed_from": resumed.path}
    if isinstance(seen, Ended):
        exit = seen.exit
        facts |= {"exit_code": exit.exit_code, "signal": exit.signal, "ended_at": exit.at}
        facts |= {"step": exit.step, "tally": exit.tally}
    if isinstance(seen, Ended | Lost):
        facts |= {"pid": seen.pid, "started_at": seen.started_at}
    return AttemptRecord(number=int(directory.name), end=classify_end(seen)).model_copy(update=facts)
