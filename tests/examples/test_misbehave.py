"""The job that misbehaves does exactly what it is told to, when it is told to, and recovers when started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.examples import FOLDER, run_example

QUICK = ("--steps", 6, "--step-seconds", 0, "--every", "1 steps", "--at-step", 3)


def test_well_behaved_it_counts_its_steps_and_ends(tmp_path: Path) -> None:
    done = run_example("misbehave", *QUICK, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("done: 6 steps in attempts [1]\n")


def test_it_runs_where_there_is_neither_torch_nor_numpy(tmp_path: Path) -> None:
    """Once from the start, once from its last checkpoint."""
    code = (
        "import runpy, sys; sys.modules.update(torch=None, numpy=None); "
        f"runpy.run_path({str(FOLDER / 'misbehave.py')!r}, run_name='__main__')"
    )
    argv = [sys.executable, "-c", code, *map(str, QUICK)]
    for first in ("attempt 1: from step 0\n", "attempt 1: from step 6\n"):
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(first)


@pytest.mark.parametrize(
    ("way", "status"),
    [("error", 1), ("leave", 7), ("segfault", -signal.SIGSEGV), ("kill", -signal.SIGKILL)],
)
def test_it_ends_as_told_at_the_step_told_and_the_next_attempt_goes_on_from_there(
    way: str, status: int, tmp_path: Path
) -> None:
    options = (*QUICK, "--do", way, "--only-attempt", 1, "--code", 7)
    first = run_example("misbehave", *options, cwd=tmp_path, attempt=1)
    assert first.returncode == status, first.stderr
    assert first.stdout.endswith(f"step 3: {way}\n")
    assert ("RuntimeError: misbehaving at step 3" in first.stderr) == (way == "error")

    second = run_example("misbehave", *options, cwd=tmp_path, attempt=2)
    assert second.returncode == 0, second.stderr
    assert second.stdout == "attempt 2: from step 3\ndone: 6 steps in attempts [1, 2]\n"


def test_without_only_attempt_it_misbehaves_each_time(tmp_path: Path) -> None:
    for attempt in (1, 2):
        assert run_example("misbehave", *QUICK, "--do", "leave", cwd=tmp_path, attempt=attempt).returncode == 1


def test_at_step_0_it_misbehaves_before_the_first(tmp_path: Path) -> None:
    done = run_example("misbehave", *QUICK, "--do", "leave", "--at-step", 0, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.endswith("step 0: leave\n")


@pytest.mark.parametrize(
    "options", [("hang", "--seconds", 0.1), ("allocate", "--megabytes", 8), ("chatter", "--lines", 99)]
)
def test_after_what_does_not_kill_it_it_goes_on(options: tuple[object, ...], tmp_path: Path) -> None:
    done = run_example("misbehave", *QUICK, "--do", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("line ") == (99 if options[0] == "chatter" else 0)
    assert done.stdout.endswith("done: 6 steps in attempts [1]\n")


def test_deaf_it_does_not_end_on_sigterm(tmp_path: Path) -> None:
    argv = [sys.executable, str(FOLDER / "misbehave.py"), *map(str, QUICK), "--do", "deaf", "--step-seconds", "0.2"]
    with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line == "step 3: deaf\n" for line in process.stdout)
        # A step later: by then it is deaf, and there are two more to come.
        checkpoints = tmp_path / "checkpoints" / "misbehave"
        while not list(checkpoints.glob("step-*4-*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert rest == "done: 6 steps in attempts [1]\n"


def test_an_orphan_outlives_it_in_a_session_of_its_own(tmp_path: Path) -> None:
    """It holds the output open, too: what reads a pipe to its end would wait for the orphan."""
    argv = [sys.executable, str(FOLDER / "misbehave.py"), *map(str, QUICK), "--do", "orphan", "--seconds", "30"]
    output = tmp_path / "output.log"
    with output.open("wb") as file:
        done = subprocess.run(argv, cwd=tmp_path, stdout=file, stderr=file, timeout=30, check=False)
    told = re.search(r"orphan (\d+)", output.read_text())
    assert told is not None
    orphan = int(told[1])
    try:
        assert done.returncode == 0
        assert os.getsid(orphan) not in (orphan, os.getsid(0))
    finally:
        os.kill(orphan, signal.SIGKILL)
