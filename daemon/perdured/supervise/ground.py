"""What must hold before an attempt starts, and where it resumes from.

Newest first: COMMIT, then existence and sizes, then every hash; what fails goes to quarantine, never away. None
valid although some existed, in the quarantine too, means stop and say so: a run of three weeks must not begin again
by itself.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from perdured.contract import environment
from perdured.contract.checkpoint.layout import QUARANTINE
from perdured.contract.checkpoint.reasons import forgive_lost
from perdured.contract.checkpoint.store import Choice, choose_checkpoint, list_checkpoints, quarantine
from perdured.contract.checkpoint.verify import Verdict
from perdured.contract.durable import make_directories, write_file
from perdured.contract.holding import find_writer
from perdured.contract.pacing import Costs, format_past
from perdured.core.actions import Launch
from perdured.core.ends.cause import Cause
from perdured.core.events import Event
from perdured.core.observation import Refused
from perdured.core.pacing import count_history
from perdured.core.record import JobRecord
from perdured.core.units import human_size
from perdured.processes import wait_for_return
from perdured.state.submission import Submission

from .job import Job

ROOM = 16 << 20
"""Bytes that must be free where checkpoints go: below this even a log line may fail."""
RETURN_CEILING = 5.0
"""Seconds in which the kernel and the driver take back what a dead attempt had."""
PROBE = ".probe"
"""The file that a probe writes there."""
_PROBE_BYTES = 1 << 20
_CAUSES = {errno.ENOSPC: Cause.DISK_FULL, errno.EDQUOT: Cause.QUOTA, errno.EROFS: Cause.READ_ONLY}


class Ground(NamedTuple):
    """Fit for a start: what to run, in which environment."""

    argv: tuple[str, ...]
    env: dict[str, str]


class Disk(NamedTuple):
    """What the disk has to resume from."""

    has_chosen: bool
    has_rejected: bool = False
    is_fresh: bool = False
    """Nothing is wanted of it."""


class Prepared(NamedTuple):
    result: Ground | Refused
    events: tuple[Event, ...] = ()
    disk: Disk | None = None
    """None if it was not looked at."""


class Survey(NamedTuple):
    """What a submission needs to know of the place that it names. To ask may take as long as the disk."""

    root: str
    """The checkpoint directory, without symbolic links."""
    writer: str | None
    fault: Refused | None


Rivals = Mapping[str, Path]
"""Attempts that run now: the job's name for people, and where it writes its checkpoints."""


def survey_ground(submission: Submission) -> Survey:
    root = submission.checkpoint_dir
    return Survey(os.path.realpath(root), find_writer(root), find_fault(submission))


def find_fault(submission: Submission, rivals: Rivals = MappingProxyType({})) -> Refused | None:
    """What stands in the way of running there at all, in words; None when nothing does."""
    workdir, root = Path(submission.workdir), submission.checkpoint_dir
    if not os.path.isdir(workdir):  # which takes a name that is too long for one that is not there
        return _refuse(f"the workdir {workdir} does not exist; make it, or change `workdir`")
    if not os.access(workdir, os.R_OK | os.X_OK):
        return _refuse(f"the workdir {workdir} may not be entered by uid {os.geteuid()}; change its permissions")
    try:
        make_directories(root)
    except OSError as error:
        why = f"the checkpoint directory {root} cannot be made: {error.strerror}; change `checkpoint.dir`"
        return _refuse(why, _cause_of(error))
    if os.statvfs(root).f_flag & os.ST_RDONLY:
        return _refuse(f"the checkpoint directory {root} is on a read-only file system", Cause.READ_ONLY)
    if not os.access(root, os.W_OK | os.X_OK):
        return _refuse(
            f"the checkpoint directory {root} is not writable by uid {os.geteuid()}; change `checkpoint.dir`"
        )
    free = shutil.disk_usage(root).free
    if free < ROOM:
        room = f"only {human_size(free)} are free where the checkpoints go ({root}), and {human_size(ROOM)} are needed"
        return _refuse(f"{room}; make room", Cause.DISK_FULL)
    writer = find_writer(root) or _find_rival(root, rivals)
    if writer is not None:
        why = f"{writer} writes its checkpoints to {root}; end it first, or change `checkpoint.dir`"
        return _refuse(why, Cause.IN_USE)
    return None


def _find_rival(root: Path, rivals: Rivals) -> str | None:
    """Among the daemon's own jobs: an attempt that outlived its keeper holds no lock, and writes all the same."""
    real = os.path.realpath(root)
    return next((name for name, directory in rivals.items() if os.path.realpath(directory) == real), None)


def probe_storage(submission: Submission, rivals: Rivals = MappingProxyType({})) -> Refused | None:
    """Whether the place of the checkpoints takes a file again; None when it does. A quota shows itself only so."""
    fault = find_fault(submission, rivals)
    if fault is not None:
        return fault
    probe = submission.checkpoint_dir / PROBE
    try:
        write_file(probe, bytes(_PROBE_BYTES))
    except OSError as error:
        return _refuse(f"{submission.checkpoint_dir} takes no file: {error.strerror}", _cause_of(error))
    finally:
        probe.unlink(missing_ok=True)
    return None


def _cause_of(error: OSError) -> Cause:
    return _CAUSES.get(error.errno or 0, Cause.REFUSED)


def prepare_ground(job: Job, launch: Launch, rivals: Rivals = MappingProxyType({})) -> Prepared:
    """Looks at the ground, chooses the checkpoint to resume from (hashing it whole), and says how to start."""
    fault = find_fault(job.submission, rivals) or _find_unreturned(job)
    if fault is not None:
        return Prepared(fault)
    root = job.submission.checkpoint_dir
    if job.submission.spec.fresh_start and launch.is_first:
        events = _set_old_ones_aside(root, job.id)
        return Prepared(_describe_start(job, launch, None), events, Disk(has_chosen=False, is_fresh=True))
    suspects = [Path(path).name for path in launch.step_over]
    # A program that has handed its memory over is one of ours: what it loads it verifies in the same pass.
    choice = choose_checkpoint(root, but=suspects, hashes=job.kept is None)
    events = tuple(_put_in_quarantine(path, verdict) for path, verdict in choice.rejected)
    disk = Disk(has_chosen=choice.chosen is not None, has_rejected=bool(choice.rejected))
    if choice.chosen is None and choice.existed:
        return Prepared(_refuse_blind_start(root, choice, suspects), events, disk)
    if skipped := _count_skipped(launch, choice):
        text = f"{skipped} batches are passed over: with them the loss was not finite any more"
        events = (*events, Event(kind="note", text=text, attempt=launch.attempt))
    return Prepared(_describe_start(job, launch, choice), events, disk)


def _refuse_blind_start(root: Path, choice: Choice, suspects: Sequence[str]) -> Refused:
    why = f"no valid checkpoint is left in {root}, and there were some: see {root / QUARANTINE}"
    if choice.stopped_by is not None:
        path, verdict = choice.stopped_by
        why = f"{path} may be whole and cannot be judged ({verdict.summarize()})"
    elif not (choice.rejected or choice.lost):
        why = f"no checkpoint in {root} can be resumed from: all are marked unhealthy"
        if suspects:
            why = f"no checkpoint in {root} is left but those with which attempts died ({', '.join(suspects)})"
    todo = "bring one back and resume, or submit it again with `fresh_start = true` (--fresh-start) to begin at step 0"
    return Refused(why=f"{why}; {todo}", permanent=True)


def _put_in_quarantine(path: Path, verdict: Verdict) -> Event:
    what = verdict.summarize()
    moved = quarantine(path, what)
    return Event(kind="quarantined", text=f"{path.name} is broken ({what}) and is kept as {moved}")


def _set_old_ones_aside(root: Path, job: str) -> tuple[Event, ...]:
    """`fresh_start`: older checkpoints would otherwise be newer, by step, than all that this run will write soon."""
    old = list_checkpoints(root)
    for listed in old:
        why = f"set aside: job {job} was submitted with fresh_start = true"
        quarantine(listed.path, why, counts=False)
    forgive_lost(root, None)
    count = "1 older checkpoint was" if len(old) == 1 else f"{len(old)} older checkpoints were"
    text = f"fresh start: {count} set aside in {root / QUARANTINE}"
    return (Event(kind="quarantined", text=text),) if old else ()


def _describe_start(job: Job, launch: Launch, choice: Choice | None) -> Ground:
    spec = job.submission.spec
    payload = _payload(choice)
    given = {
        environment.JOB_ID: job.id,
        environment.ATTEMPT: str(launch.attempt),
        environment.FIRST: str(int(launch.is_first)),
        environment.CHECKPOINT_DIR: str(job.submission.checkpoint_dir),
        environment.GRACE_SECONDS: f"{spec.stop.grace:g}",
        environment.CHECKPOINT_EVERY: spec.checkpoint.every.as_text,
        environment.CHECKPOINT_KEEP: str(spec.checkpoint.keep),
        environment.CHECKPOINT_MEMORY: str(int(spec.checkpoint.memory)),
        environment.CHECKPOINT_PAST: _describe_past(job.record),
        environment.SKIP_BATCHES: str(skipped) if (skipped := _count_skipped(launch, choice)) else None,
        environment.VISIBLE_GPUS: ",".join(launch.gpus) or None,
        environment.MEMORY: job.kept.path if job.kept is not None else None,
        environment.RESTART_REASON: launch.restart_reason,
        environment.RESUME_FROM: str(choice.chosen.path) if choice and choice.chosen else None,
        environment.RESUME_STEP: str(choice.chosen.step) if choice and choice.chosen else None,
    }
    inherited = {k: v for k, v in job.submission.env.items() if k not in environment.ATTEMPT_VARIABLES}
    args = tuple(word.replace("{checkpoint}", str(payload)) for word in spec.checkpoint.resume_args) if payload else ()
    return Ground(spec.command + args, inherited | {k: v for k, v in given.items() if v is not None})


def _describe_past(record: JobRecord) -> str:
    pace = record.pace
    return format_past(count_history(record), Costs(pace.copy, pace.write) if pace is not None else Costs())


def _find_unreturned(job: Job) -> Refused | None:
    taken = wait_for_return(job.had, RETURN_CEILING, time.sleep)
    return _refuse(f"{taken}; end it, or wait") if taken is not None else None


def _count_skipped(launch: Launch, choice: Choice | None) -> int:
    """None of them where it goes on from another checkpoint than the one that they were counted from."""
    chosen = str(choice.chosen.path) if choice is not None and choice.chosen is not None else None
    return launch.skip.batches if launch.skip is not None and launch.skip.checkpoint == chosen else 0


def _payload(choice: Choice | None) -> Path | None:
    """What `{checkpoint}` stands for: the one payload file or folder, or the checkpoint where there are several."""
    if choice is None or choice.chosen is None or choice.manifest is None:
        return None
    files = choice.manifest.files
    if len(files) == 1:
        return choice.chosen.path / files[0].name
    folders = {file.name.partition("/")[0] for file in files}
    is_folder = len(folders) == 1 and all("/" in file.name for file in files)
    return choice.chosen.path / folders.pop() if is_folder else choice.chosen.path


def _refuse(why: str, cause: Cause = Cause.REFUSED) -> Refused:
    return Refused(why=why, permanent=False, cause=cause)
