"""The Python that a job's command names, looked for as the job itself would."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from perdured.core.doctor.finding import Finding
from perdured.core.doctor.machine import judge_python
from perdured.state.submission import Submission

from .torch_python import has_torch, list_candidates

_PYTHON = re.compile(r"python[0-9.]*")


def examine_python(submission: Submission | None) -> list[Finding]:
    """Nothing for a command that is no Python. Without a spec: the one of this shell."""
    if submission is None:
        found = next(iter(list_candidates(os.environ.get("VIRTUAL_ENV"))), None)
        return [judge_python(found, has_torch=found is not None and has_torch(found))]
    command = submission.spec.command[0]
    if not _PYTHON.fullmatch(Path(command).name):
        return []
    path = str(Path(submission.workdir, command)) if "/" in command else command
    found = shutil.which(path, path=submission.env.get("PATH"))
    return [judge_python(found, has_torch=found is not None and has_torch(found))]
