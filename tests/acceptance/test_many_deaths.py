"""The daemon, the real one, killed after each of its effects in turn, and killed a hundred times under twenty jobs."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from perdured.contract.durable import write_file
from support.daemons import COUNTER, Daemon, wait_for
from support.processes import is_alive

MORTAL = str(Path(__file__).parent.parent / "support" / "mortal_perdured.py")
STEPS = 6
KILLS, JOBS = 100, 20


def read_steps(work: Path) -> list[int]:
    return [int(line) for line in (work / "steps.txt").read_text().splitlines() if line.isdecimal()]


# After each effect -----------------------------------------------------------------------------------------------


def put_into_spool(daemon: Daemon, work: Path) -> None:
    """A job that crashes once, and is done after that."""
    work.mkdir(parents=True)
    command = [sys.executable, str(COUNTER), str(STEPS), "--pause", "0.02", "--crash-at", "3"]
    spec = f'command = {json.dumps(command)}\nname = "walk"\nworkdir = "{work}"\n[restart]\nbackoff = "10ms..10ms"\n'
    (daemon.state / "spool").mkdir(parents=True)
    write_file(daemon.state / "spool" / "walk.toml", spec.encode())


def find_only_job(daemon: Daemon) -> dict[str, Any] | None:
    jobs = daemon.client.list_jobs(everything=True)
    assert len(jobs) <= 1, "the spec was submitted twice"
    return dict(jobs[0]) if jobs and jobs[0]["state"] in ("succeeded", "failed") else None


def live_through(root: Path, kill_at: int) -> tuple[dict[str, Any], list[int], int]:
    """One daemon that dies at that point, if it comes there, and then another: the job, its steps, and the points that
    the first one reached."""
    root.mkdir()
    daemon, effects = Daemon(root), root / "effects"
    effects.touch()
    put_into_spool(daemon, root / "work")
    try:
        daemon.program = (MORTAL, str(kill_at), str(effects))
        daemon.start(is_to_live=False)
        process = daemon.process
        assert process is not None
        wait_for(lambda: process.poll() is not None or _is_done(daemon), "the end, or the death of the daemon")
        reached = len(effects.read_text().splitlines())
        if process.poll() is None:
            daemon.kill()
        daemon.program = ("-m", "perdured")
        daemon.start()
        shown = wait_for(lambda: find_only_job(daemon), "the job to end")
        return shown, read_steps(root / "work"), reached
    finally:
        daemon.close()


def _is_done(daemon: Daemon) -> bool:
    return (daemon.state / "spool" / "accepted").is_dir() and any(
        json.loads(path.read_text())["phase"]["kind"] == "succeeded" for path in daemon.state.glob("jobs/*/rest.json")
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_daemon_that_dies_after_any_of_its_effects_leaves_all_to_the_next(tmp_path: Path) -> None:
    """One job, of two attempts, that makes each step once more after its crash, and no other attempt beside them."""
    kill_at, points = 1, 0
    while True:
        shown, steps, reached = live_through(tmp_path / f"{kill_at}", kill_at)
        told = f"killed after effect {kill_at} of {reached}"
        assert shown["state"] == "succeeded", told
        assert [attempt["number"] for attempt in shown["attempts"]] == [1, 2], told
        assert steps == [1, 2, 3, *range(3, STEPS + 1)], told
        if reached < kill_at:
            break
        points, kill_at = points + 1, kill_at + 1
    assert points >= 10, "there are fewer points than such a job has effects"


# A hundred times -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_kills_of_the_daemon_restart_no_job_and_double_none(daemon: Daemon, tmp_path: Path) -> None:
    """At moments that are drawn: while it starts, adopts, serves, or is told to begin something."""
    seed = random.SystemRandom().randrange(10**9)
    rng = random.Random(seed)
    jobs = [daemon.count(tmp_path / f"work{n}", "1000000", "--pause", "0.2") for n in range(JOBS)]
    pids = {job: daemon.wait_for_step(job, 1)["attempts"][-1]["pid"] for job in jobs}
    daemon.kill()
    for _ in range(KILLS):
        daemon.start(is_to_live=False)
        time.sleep(rng.uniform(0.0, 1.5))  # not a wait: the moment of the kill is what is drawn
        daemon.kill()
        assert all(is_alive(pid) for pid in pids.values()), f"with seed {seed}"
    daemon.start()
    for job, pid in pids.items():
        shown = daemon.wait_for_state(job, "running")
        assert [attempt["pid"] for attempt in shown["attempts"]] == [pid], f"with seed {seed}"
        daemon.wait_for_step(job, shown["step"] + 1)
    for n, job in enumerate(jobs):
        daemon.client.ask(job, "stop")
        assert daemon.wait_for_state(job, "stopped")["exit_status"] == 75
        steps = read_steps(tmp_path / f"work{n}")
        assert steps == list(range(1, len(steps) + 1)), f"with seed {seed}"
    assert daemon.process is not None
    daemon.kill(signal.SIGTERM)
