"""What is not accepted, and why: each raises an error in three lines, or does nothing."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence

from perdured.core.record import JobRecord
from perdured.errors import BadUsage, WrongState
from perdured.state.submission import Submission

from .ground import Survey
from .job import Job


def refuse_shared_checkpoints(submission: Submission, survey: Survey, jobs: Iterable[Job]) -> None:
    """Two writers on one checkpoint directory must be impossible."""
    for other in jobs:
        if other.submission is submission or not other.record.will_run:
            continue
        if (other.root or str(other.submission.checkpoint_dir)) == survey.root:
            raise WrongState(
                f"Job {other.id} ({other.record.name}) already writes its checkpoints to {survey.root}.",
                "Two jobs on one checkpoint directory would resume from each other's state.",
                f"Give this one another `checkpoint.dir`, or end the other: perdure stop {other.id}",
            )
        remote = submission.spec.checkpoint.remote
        if remote is not None and other.submission.spec.checkpoint.remote == remote:
            raise WrongState(
                f"Job {other.id} ({other.record.name}) already copies its checkpoints to {remote}.",
                "Two jobs on one remote would resume from each other's state.",
                f"Give this one another `checkpoint.remote`, or end the other: perdure stop {other.id}",
            )
    if survey.writer is not None:
        raise WrongState(
            f"{survey.writer.capitalize()} already writes its checkpoints to {survey.root}.",
            "Two runs on one checkpoint directory would resume from each other's state.",
            "Give this one another `checkpoint.dir`, or end the other; `perdure ps` may know it.",
        )


def refuse_unfit_ground(survey: Survey) -> None:
    if survey.fault is not None:
        why = f"{survey.fault.why[:1].upper()}{survey.fault.why[1:]}."
        raise BadUsage("The job was not accepted.", why, "Nothing was changed by it.")


def refuse_awaited(job: Job, followers: Sequence[Job]) -> None:
    """A job that is forgotten could not succeed any more; one that has is awaited by nobody."""
    waiting = [f"{other.id} ({other.record.name})" for other in followers]
    if waiting:
        why = f"It comes before job {waiting[0]}" + (f" and {len(waiting) - 1} more." if waiting[1:] else ".")
        todo = "Remove first what comes after it, or let it succeed."
        raise WrongState(f"Job {job.id} is not forgotten yet.", why, todo)


def refuse_leaving_predecessor(submission: Submission, jobs: Mapping[str, Job]) -> None:
    """A job that is about to be forgotten cannot succeed any more."""
    for ref in submission.spec.after:
        job = jobs.get(ref)
        if job is None or (job.record.wish == "remove" and job.record.phase.kind != "succeeded"):
            why = f"It comes after job {ref}, which is being removed and has not succeeded."
            raise WrongState("The job was not accepted.", why, "Submit it without that one in `after`.")


def refuse_lacking_library(submission: Submission) -> None:
    if submission.spec.checkpoint.remote is not None and importlib.util.find_spec("obstore") is None:
        raise BadUsage(
            "The job was not accepted: checkpoint.remote needs the library obstore.",
            f"It is not installed beside perdured ({sys.prefix}).",
            "Install the extra `remote` there: pip install 'perdure[remote]'",
        )


def refuse_nonsense(record: JobRecord, wish: str) -> None:
    state = record.phase.kind
    if wish == "resume" and state == "succeeded":
        again = f"`perdure restart {record.id}` starts it once more, from its newest checkpoint; that may end at once."
        todo = f"{again} To begin at step 0, submit it again with --fresh-start."
        raise WrongState(f"Job {record.id} is done.", "It succeeded, so there is nothing to resume.", todo)
    if wish == "resume" and state in ("running", "starting", "saving", "queued") and record.wish == "run":
        raise WrongState(f"Job {record.id} is {state}.", "It needs no resuming.", f"perdure show {record.id}")
    if wish == "resume" and state == "parked_in_place" and record.wish == "run":
        why = "It goes on by itself when the notice is withdrawn."
        raise WrongState(f"Job {record.id} stands still: its machine may be taken away.", why, "Withdraw the notice.")
