"""`perdured` is replaced by a newer one while jobs run, and they do not notice; nor when the older one comes back."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.daemons import Daemon, wait_for
from support.processes import is_alive

NEWER = (str(Path(__file__).parent.parent / "support" / "newer_perdured.py"),)
OLDER = ("-m", "perdured")
JOBS = 3


def begin(daemon: Daemon, tmp_path: Path, *arguments: str) -> dict[str, int]:
    """Some jobs that count: their ids, and the processes that run them."""
    daemon.start(*arguments)
    jobs = [daemon.count(tmp_path / f"work{n}", "100000", "--pause", "0.01") for n in range(JOBS)]
    return {job: daemon.wait_for_step(job, 3)["attempts"][-1]["pid"] for job in jobs}


def replace(daemon: Daemon, program: tuple[str, ...], *arguments: str, how: int = signal.SIGTERM) -> None:
    daemon.kill(how)
    daemon.program = program
    daemon.start(*arguments)


def check_unnoticed(daemon: Daemon, jobs: dict[str, int]) -> None:
    """The same process, in the same attempt, and it counts on before the daemon's eyes."""
    for job, pid in jobs.items():
        shown = daemon.wait_for_state(job, "running")
        assert [attempt["pid"] for attempt in shown["attempts"]] == [pid]
        daemon.wait_for_step(job, shown["step"] + 3)


def check_steps(tmp_path: Path) -> None:
    """No step was left out, or made twice."""
    for n in range(JOBS):
        lines = (tmp_path / f"work{n}" / "steps.txt").read_text().splitlines()
        steps = [int(line) for line in lines if line.isdecimal()]
        assert steps == list(range(1, len(steps) + 1))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_do_not_notice_a_newer_daemon(daemon: Daemon, tmp_path: Path, how: int) -> None:
    """Their keepers are asked by a higher version, with keys and messages that they do not know."""
    jobs = begin(daemon, tmp_path)
    replace(daemon, NEWER, how=how)
    check_unnoticed(daemon, jobs)
    for job in jobs:
        daemon.run("stop", job)
        assert daemon.wait_for_state(job, "stopped")["exit_status"] == 75
    check_steps(tmp_path)


def test_jobs_of_a_newer_daemon_do_not_notice_an_older_one(daemon: Daemon, tmp_path: Path) -> None:
    """Where the registry's format is the same, the step back is possible: newer keepers tell more, and write more."""
    daemon.program = NEWER
    jobs = begin(daemon, tmp_path, "--same-schema")
    replace(daemon, OLDER)
    check_unnoticed(daemon, jobs)
    for job in jobs:
        daemon.run("stop", job)
        assert daemon.wait_for_state(job, "stopped")["exit_status"] == 75
    check_steps(tmp_path)


def test_an_older_daemon_refuses_a_newer_registry_and_loses_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """Not a byte of the state directory is changed, the jobs run on, and the newer one finds them as they are."""
    jobs = begin(daemon, tmp_path)
    replace(daemon, NEWER)
    check_unnoticed(daemon, jobs)
    daemon.kill(signal.SIGTERM)
    registry = {path.name: path.read_bytes() for path in daemon.state.glob("registry.sqlite*")}
    daemon.program = OLDER
    refused = daemon.run_daemon()
    assert refused.returncode == 125
    what, why, todo = refused.stderr.strip().splitlines()
    assert "newer Perdure (schema 3)" in what
    assert "guessing could lose jobs" in why
    assert "Install the newer version again" in todo
    assert {path.name: path.read_bytes() for path in daemon.state.glob("registry.sqlite*")} == registry
    assert all(is_alive(pid) for pid in jobs.values())
    daemon.program = NEWER
    daemon.start()
    check_unnoticed(daemon, jobs)
    check_steps(tmp_path)


def test_a_job_ends_under_the_newer_daemon_as_it_would_have(daemon: Daemon, tmp_path: Path) -> None:
    """Also one that ends while there is none."""
    daemon.start()
    soon = daemon.count(tmp_path / "soon", "20", "--pause", "0.02")
    late = daemon.count(tmp_path / "late", "60", "--pause", "0.02", "--crash-at", "40")
    pid = daemon.wait_for_step(soon, 2)["attempts"][-1]["pid"]
    daemon.wait_for_step(late, 2)
    daemon.kill()
    wait_for(lambda: not is_alive(pid), "the job to end")
    daemon.program = NEWER
    daemon.start()
    assert len(daemon.wait_for_state(soon, "succeeded")["attempts"]) == 1
    assert len(daemon.wait_for_state(late, "succeeded")["attempts"]) == 2
