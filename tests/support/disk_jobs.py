"""Jobs and attempts as they lie in a state directory, without any process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from perdured.core.record import JobRecord
from perdured.keeper import records
from perdured.keeper.identity import Identity, read_boot_id
from perdured.state.paths import StateDir
from perdured.state.registry import Registry
from perdured.state.submission import Submission
from perdured.supervise.job import Job
from perdured.supervise.service import Service
from support.jobs import NOW, make_record, make_spec

DEAD = Identity(2**22 - 1, 1, "")
"""Of nobody: no process of this start time exists."""


def make_submission(workdir: Path, text: str = "", env: dict[str, str] | None = None) -> Submission:
    return Submission(make_spec(text), env if env is not None else {"PATH": os.defpath}, str(workdir))


def make_job(workdir: Path, text: str = "", record: JobRecord | None = None, env: dict[str, str] | None = None) -> Job:
    return Job(make_submission(workdir, text, env), record or make_record())


def save_submission(state: StateDir, job: str, submission: Submission) -> None:
    """As a daemon does at a submit."""
    registry = Registry(state.root / "elsewhere.sqlite")
    Service(state, registry, lambda: NOW)._save_submission(
        submission, JobRecord(id=job, name=submission.spec.job_name, submitted_at=NOW)
    )
    registry.close()
    (state.root / "elsewhere.sqlite").unlink()


def save_want(state: StateDir, job: str, number: int, **env: str) -> Path:
    """The directory of an attempt that a daemon wanted and that nobody has started."""
    directory = state.attempt(job, number)
    directory.mkdir(parents=True)
    records.save_want(directory, records.Want(job, number, "nonce", ("true",), env, "/", 15, 1.0, None))
    return directory


def save_run(directory: Path, *, boot_id: str | None = None) -> None:
    """It was started; its keeper and leader are gone."""
    who = DEAD._replace(boot_id=boot_id if boot_id is not None else read_boot_id())
    records.save_run(directory, records.RunRecord(who, who, NOW - 50, None))


def save_exit(directory: Path, **facts: Any) -> None:
    """It ended, and nothing of it was left."""
    usage = records.Usage(1.0, 1.0, 1)
    usual = records.ExitRecord(reason="exited", at=NOW - 2, at_boot=1.0, exit_code=0, usage=usage)
    records.save_exit(directory, usual._replace(**facts))
