"""Runs the jobs of jobs/examples as a user does: as processes, from a folder of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

FOLDER = Path(__file__).parents[2] / "jobs" / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))
SPECS = sorted(FOLDER.glob("*.toml"))

_SIGNAL_AT_STEP = """
import os, runpy, signal, sys
import perdure
at, report = int(sys.argv[1]), perdure.Run.report
def report_and_signal(run, *args, **kwargs):
    report(run, *args, **kwargs)
    if run.step == at:
        os.kill(os.getpid(), signal.{signal})
perdure.Run.report = report_and_signal
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_example(name: str, *options: object, cwd: Path, attempt: int | None = None) -> CompletedProcess[str]:
    """The finished process of `name`.py with these options, as that attempt of a job or as none."""
    return _run(FOLDER / f"{name}.py", *options, cwd=cwd, attempt=attempt)


def run_until_step(step: int, name: str, *options: object, cwd: Path, by: str = "SIGKILL") -> CompletedProcess[str]:
    """The same, but the process sends itself the signal as soon as it has reported this step."""
    return _run("-c", _SIGNAL_AT_STEP.format(signal=by), step, FOLDER / f"{name}.py", *options, cwd=cwd)


def _run(*words: object, cwd: Path, attempt: int | None = None) -> CompletedProcess[str]:
    argv = [sys.executable, *map(str, words)]
    env = os.environ | ({} if attempt is None else {"PERDURE_ATTEMPT": str(attempt)})
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=50, check=False)
