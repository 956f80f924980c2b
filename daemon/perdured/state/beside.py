"""What lies beside the registry in a job's directory, so that a lost registry loses no job and wakes none up.

| file | is there | says |
|---|---|---|
| `submission.json` | from the submit on | the spec, the environment, the workdir |
| `rest.json` | while the job rests | its record: done, failed, stopped or parked |

The registry comes first: what is in it was accepted, and each start of the daemon makes these files agree with it. So a
submit that was killed half way leaves nothing that could run later. Only the owner may read them: they hold secrets.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import NamedTuple

from perdured.contract.durable import load_json, make_directories, write_file
from perdured.core.record import JobRecord
from perdured.core.spec import Spec

from .paths import StateDir
from .submission import Submission

_log = logging.getLogger("perdured")


class Found(NamedTuple):
    """A job as its directory knows it."""

    submission: Submission
    submitted_at: float | None
    rest: JobRecord | None
    """What it was when it came to rest, if it has not been started since."""


def save_beside(state: StateDir, submission: Submission, record: JobRecord) -> None:
    """What is missing, and no more: a start of the daemon does this for thousands of jobs. Errors: OSError."""
    if not state.submission(record.id).exists():
        save_submission(state, submission, record)
    if record.is_resting != state.rest(record.id).exists():
        save_rest(state, record)


def save_rest(state: StateDir, record: JobRecord) -> None:
    """Errors: OSError."""
    path = state.rest(record.id)
    if record.is_resting:
        write_file(path, record.model_dump_json().encode(), mode=0o600)
    else:
        path.unlink(missing_ok=True)


def load_beside(directory: Path) -> Found:
    """Errors: OSError, and ValueError, KeyError or TypeError for what makes no sense."""
    content = load_json(directory / "submission.json")
    if not isinstance(content, dict):
        raise TypeError("submission.json holds no object")
    submission = Submission(Spec.model_validate(content["spec"]), dict(content["env"]), str(content["workdir"]))
    at = content.get("submitted_at")
    return Found(submission, float(at) if at is not None else None, _load_rest(directory / "rest.json"))


def save_submission(state: StateDir, submission: Submission, record: JobRecord) -> None:
    """Errors: OSError."""
    make_directories(state.job(record.id), mode=0o700)
    content: dict[str, object] = {
        "spec": submission.spec.model_dump(mode="json"),
        "env": submission.env,
        "workdir": submission.workdir,
        "version": 1,
        "submitted_at": record.submitted_at,
    }
    write_file(state.submission(record.id), json.dumps(content, indent=1).encode(), mode=0o600)


def _load_rest(path: Path) -> JobRecord | None:
    try:
        return JobRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _log.warning("%s cannot be read: %s", path, error)
        return None
