"""The next attempt's process is there before the one that runs has died, and goes with its job and with its daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.daemons import BIN, COUNTER, Daemon, wait_for
from support.hashed_training import format_training
from support.standbys import find_waiting

pytestmark = pytest.mark.slow

SCRIPT = f"""
import sys
was_early = "decimal" in sys.modules
import decimal, runpy
from perdure.imports import record_imports
record_imports()
print("early" if was_early else "late", flush=True)
runpy.run_path({str(COUNTER)!r}, run_name="__main__")
"""
PRELOAD = '[standby]\npreload = ["decimal"]\n'


@pytest.fixture
def submit(daemon: Daemon, tmp_path: Path) -> Callable[..., str]:
    return partial(submit_at, daemon, tmp_path / "work")


def submit_at(daemon: Daemon, work: Path, *options: str, extra: str = PRELOAD) -> str:
    work.mkdir(exist_ok=True)
    (work / "train.py").write_text(SCRIPT)
    return daemon.submit(work, sys.executable, "train.py", "100000", "--pause", "0.05", *options, extra=extra)


def wait_until_ready(daemon: Daemon, job: str) -> dict[str, Any]:
    def find() -> dict[str, Any] | None:
        shown = daemon.show(job)
        return shown if shown["standby"] is not None and shown["standby"]["state"] == "ready" else None

    return wait_for(find, f"the standby of {job}", ceiling=90)


def wait_for_attempt(daemon: Daemon, job: str, number: int) -> dict[str, Any]:
    def find() -> dict[str, Any] | None:
        shown = daemon.show(job)
        last = shown["attempts"][-1]
        return shown if last["number"] == number and last["pid"] else None

    return wait_for(find, f"attempt {number}")


def says_that_it_is_early(daemon: Daemon, job: str, attempt: int) -> bool:
    return read_output(daemon, job, attempt).startswith("early")


def read_output(daemon: Daemon, job: str, attempt: int) -> str:
    return (daemon.state / "jobs" / job / "attempts" / str(attempt) / "output.log").read_text()


def test_it_becomes_the_next_attempt_and_is_replaced(daemon: Daemon, submit: Callable[..., str]) -> None:
    job = submit()
    for number in (1, 2):
        shown = wait_until_ready(daemon, job)
        [waiting] = find_waiting(daemon.state / "jobs" / job)
        assert len(shown["attempts"]) == number
        os.kill(shown["attempts"][-1]["pid"], signal.SIGKILL)
        after = wait_for_attempt(daemon, job, number + 1)
        assert after["attempts"][-1]["pid"] == waiting
        wait_for(partial(says_that_it_is_early, daemon, job, number + 1), "its first line")
        assert after["attempts"][-1]["resumed_from_step"] > 0
    assert read_output(daemon, job, 1).startswith("late")
    assert "attempt 2 is the process that stood by" in daemon.run("events", job).stdout


def test_it_is_gone_when_its_job_rests(daemon: Daemon, submit: Callable[..., str]) -> None:
    job = submit()
    wait_until_ready(daemon, job)
    assert daemon.run("stop", job).returncode == 0
    daemon.wait_for_state(job, "stopped")
    wait_for(lambda: not find_waiting(daemon.state / "jobs" / job), "the standby to be gone")
    assert "the job is stopped" in daemon.show(job)["standby"]["why"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_gone_with_its_daemon_and_the_next_daemon_makes_another(
    number: signal.Signals, daemon: Daemon, submit: Callable[..., str]
) -> None:
    job = submit()
    wait_until_ready(daemon, job)
    [before] = find_waiting(daemon.state / "jobs" / job)
    daemon.kill(number)
    wait_for(lambda: before not in find_waiting(daemon.state / "jobs" / job), "the standby to be gone")
    daemon.start()
    shown = wait_until_ready(daemon, job)
    assert find_waiting(daemon.state / "jobs" / job) not in ([], [before])
    assert len(shown["attempts"]) == 1


def test_a_person_sees_whether_it_stands_ready_and_why_not(daemon: Daemon, submit: Callable[..., str]) -> None:
    job = submit(extra="[standby]\nenabled = false\n")
    daemon.wait_for_step(job, 1)
    wait_for(lambda: "standby.enabled is false" in daemon.run("show", job).stdout, "the reason")
    other = daemon.count(daemon.root / "other", "100000", "--pause", "0.05")
    daemon.wait_for_step(other, 1)
    wait_for(lambda: "nothing loaded of what standby.preload names" in daemon.run("show", other).stdout, "the reason")
    assert not find_waiting(daemon.state / "jobs" / job) + find_waiting(daemon.state / "jobs" / other)


def test_one_that_cannot_be_leaves_the_job_as_it_would_be_without(daemon: Daemon, submit: Callable[..., str]) -> None:
    job = submit()
    shown = wait_until_ready(daemon, job)
    [waiting] = find_waiting(daemon.state / "jobs" / job)
    os.kill(waiting, signal.SIGKILL)
    os.kill(shown["attempts"][-1]["pid"], signal.SIGKILL)
    after = daemon.wait_for_step(job, shown["step"] + 10)
    assert after["state"] == "running"
    assert len(after["attempts"]) == 2


RANK = """
import time, torch, perdure
first = perdure.load("c.pth", default={"step": 0})["step"] + 1
for step in range(first, 1000000):
    perdure.save({"step": step, "tensor": torch.zeros(1)}, "c.pth")
    time.sleep(0.2)
"""


@pytest.mark.torch
@pytest.mark.timeout(180)
def test_torchrun_itself_can_stand_by_and_it_is_said_that_its_ranks_cannot(daemon: Daemon, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text(RANK)
    job = daemon.submit(work, str(BIN / "torchrun"), "--standalone", "--nproc-per-node=1", "train.py")
    shown = wait_until_ready(daemon, job)
    assert "import as ever" in shown["standby"]["why"]
    [waiting] = find_waiting(daemon.state / "jobs" / job)
    os.kill(shown["attempts"][-1]["pid"], signal.SIGKILL)
    after = wait_for_attempt(daemon, job, 2)
    assert after["attempts"][-1]["pid"] == waiting
    daemon.wait_for_step(job, after["attempts"][-1]["resumed_from_step"] + 3)
    daemon.run("stop", job)  # its ranks are not its leader, and would outlive a keeper that is killed
    daemon.wait_for_state(job, "stopped", ceiling=60)


@pytest.mark.torch
@pytest.mark.timeout(300)
def test_a_training_that_goes_on_in_standbys_ends_with_the_same_bits(daemon: Daemon, tmp_path: Path) -> None:
    """What a standby does beforehand must not be seen in any weight or moment."""
    alone, work = tmp_path / "alone", tmp_path / "work"
    pause = "__import__('os').path.exists('hurry')"
    script = format_training("20 steps", epochs=10).replace("float(sys.argv[1])", f"0 if {pause} else 0.2")
    for folder in (alone, work):
        folder.mkdir()
        (folder / "train.py").write_text(script)
    (alone / "hurry").touch()
    undisturbed = subprocess.run([sys.executable, "train.py"], cwd=alone, capture_output=True, text=True, check=True)
    job = daemon.submit(work, sys.executable, "train.py")
    for number in (1, 2):
        shown = wait_until_ready(daemon, job)
        os.kill(shown["attempts"][-1]["pid"], signal.SIGKILL)
        wait_for_attempt(daemon, job, number + 1)
    (work / "hurry").touch()
    daemon.wait_for_state(job, "succeeded", ceiling=120)
    told = daemon.run("events", job).stdout
    assert read_output(daemon, job, 3).splitlines()[-1] == undisturbed.stdout.splitlines()[-1], told
    assert told.count("is the process that stood by") == 2


def test_the_memory_of_a_standby_is_a_jobs_that_asks_for_it(tmp_path: Path) -> None:
    """Nobody waits for a standby: what it takes is what no job has asked for."""
    config = tmp_path / "perdured.toml"
    config.write_text('memory = "1000MiB"\n')
    daemon = Daemon(tmp_path)
    daemon.start("--config", str(config))
    try:
        job = submit_at(daemon, tmp_path / "work")
        wait_until_ready(daemon, job)
        asks = '[resources]\nmemory = "900MiB"\n'
        other = daemon.count(tmp_path / "other", "1000", "--pause", "0.05", extra=asks)
        daemon.wait_for_step(other, 1)
        shown = wait_for(
            lambda: (seen := daemon.show(job))["standby"]["state"] == "none" and seen, "it to make room", 60
        )
        assert shown["standby"]["why"] == "the memory is promised to jobs (resources.memory)"
        wait_for(lambda: not find_waiting(daemon.state / "jobs" / job), "its process to end")
    finally:
        daemon.close()
