"""Which job a user means by a word: its id, its name, or a prefix of the id that fits only one.

Names need not be unique, since a run that is submitted again has the same one. Of several jobs with one name the one
that is not at rest is meant; several of those are never guessed between, because the guess would stop or remove the
wrong one. Where all of them rest, the newest is meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from perdured.core.record import exit_status
from perdured.errors import AmbiguousJob, NoSuchJob

from .job import Job


def find_job(jobs: Mapping[str, Job], ref: str) -> Job:
    """Of `jobs`, oldest first. Raises NoSuchJob or AmbiguousJob."""
    if ref in jobs:
        return jobs[ref]
    named = [job for job in jobs.values() if job.record.name == ref]
    if named:
        return _choose_named(ref, named)
    fitting = [job for id, job in jobs.items() if ref and id.startswith(ref)]
    if len(fitting) == 1:
        return fitting[0]
    raise _ambiguous(ref, fitting, "Give more letters of the id.") if fitting else _missing(ref, jobs.values())


def _choose_named(ref: str, named: list[Job]) -> Job:
    going_on = [job for job in named if exit_status(job.record) is None]
    if len(going_on) > 1:
        raise _ambiguous(ref, going_on, "Give the id of the one you mean.")
    return (going_on or named)[-1]


def _ambiguous(ref: str, fitting: Iterable[Job], todo: str) -> AmbiguousJob:
    names = ", ".join(f"{job.id} ({job.record.name}, {job.record.phase.kind})" for job in fitting)
    return AmbiguousJob(f'"{ref}" fits several jobs.', f"They are {names}.", todo)


def _missing(ref: str, jobs: Iterable[Job]) -> NoSuchJob:
    known = [word for job in jobs for word in (job.id, job.record.name)]
    near = difflib.get_close_matches(ref, known, n=1)
    todo = f"Did you mean {near[0]}?" if near else "`perdure ps --all` lists all jobs."
    return NoSuchJob(f'There is no job "{ref}".', "No id, name or prefix of an id is like it.", todo)
