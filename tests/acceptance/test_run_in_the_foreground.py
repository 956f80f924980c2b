"""`perdure run`: the same loop and keeper for one job, with no daemon."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import BIN, COUNTER, Daemon, wait_for


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder
    leftover = Daemon(tmp_path)
    leftover.state = folder / "checkpoints" / ".perdure"
    leftover.close()


def start(work: Path, *options: str, extra: str = "") -> subprocess.Popen[str]:
    command = json.dumps([sys.executable, str(COUNTER), *options])
    (work / "job.toml").write_text(f'command = {command}\n{extra}[restart]\nbackoff = "10ms..50ms"\n')
    return subprocess.Popen(
        [str(BIN / "perdure"), "run", str(work / "job.toml")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def steps(work: Path) -> list[int]:
    path = work / "steps.txt"
    return [int(line) for line in path.read_text().splitlines() if line.isdecimal()] if path.exists() else []


def test_it_ends_as_the_job_did(work: Path) -> None:
    """Output on stdout, Perdure's words on stderr, the job's exit status."""
    process = start(work, "3", "--print", "--exit", "78")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 78
    assert out.splitlines() == ["step 1", "step 2", "step 3"]
    assert "perdure:" in err


def test_it_restarts_a_crashed_job(work: Path) -> None:
    """From the newest checkpoint."""
    process = start(work, "5", "--crash-at", "3")
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert steps(work) == [1, 2, 3, 3, 4, 5]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_75_and_a_committed_checkpoint(work: Path, number: signal.Signals) -> None:
    """As Slurm, Kubernetes, docker and a terminal send them; the next run goes on."""
    process = start(work, "40", "--pause", "0.05")
    wait_for(lambda: len(steps(work)) >= 3, "some steps")
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 75
    again = start(work, "40", "--pause", "0.05")
    again.communicate(timeout=30)
    assert again.returncode == 0
    assert steps(work) == list(range(1, 41))


def test_a_second_run_adopts_the_job_of_a_killed_one(work: Path) -> None:
    """SIGKILL of `perdure run` leaves the job to its keeper; it is not started twice."""
    first = start(work, "60", "--pause", "0.05")
    wait_for(lambda: len(steps(work)) >= 2, "some steps")
    first.kill()
    first.communicate(timeout=30)
    second = start(work, "60", "--pause", "0.05")
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0
    assert "perdure: attempt 1 of an earlier `perdure run` still runs (pid " in err
    assert steps(work) == list(range(1, 61))
    assert sum(line.startswith("attempt") for line in (work / "steps.txt").read_text().splitlines()) == 1


def test_a_second_run_shows_what_the_job_printed_last(work: Path) -> None:
    """All of it fits into what is shown, however late the second run comes."""
    first = start(work, "20", "--pause", "0.1", "--print")
    wait_for(lambda: len(steps(work)) >= 2, "some steps")
    first.kill()
    first.communicate(timeout=30)
    out, _ = start(work, "20", "--pause", "0.1", "--print").communicate(timeout=60)
    assert out.splitlines() == [f"step {number}" for number in range(1, 21)]


def test_a_second_run_gives_its_own_environment_to_what_it_starts(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who exports another variable and runs again means it."""
    program = "import os, sys; print('FLAVOUR is', os.environ['FLAVOUR'], flush=True); sys.exit(75)"
    (work / "job.toml").write_text(
        f'command = {json.dumps([sys.executable, "-c", program])}\n[restart]\nbackoff = "1s..2s"\n'
    )
    command = [str(BIN / "perdure"), "run", str(work / "job.toml")]
    for flavour in ("old", "new"):
        monkeypatch.setenv("FLAVOUR", flavour)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == f"FLAVOUR is {flavour}\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_a_run_with_another_spec_ends_what_a_killed_one_left(work: Path) -> None:
    """The old one saves and ends first; then the new one goes on from its checkpoint."""
    first = start(work, "1000", "--pause", "0.05")
    wait_for(lambda: len(steps(work)) >= 2, "some steps")
    first.kill()
    first.communicate(timeout=30)
    second = start(work, "20", "--pause", "0.01")
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert steps(work) == list(range(1, max(len(steps(work)), 20) + 1))


def test_two_runs_on_one_checkpoint_directory_are_refused(work: Path) -> None:
    """The second says who holds it."""
    first = start(work, "60", "--pause", "0.05")
    wait_for(lambda: len(steps(work)) >= 2, "some steps")
    second = start(work, "60", "--pause", "0.05")
    _, err = second.communicate(timeout=30)
    assert second.returncode == 125
    assert "is in use" in err
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    assert first.returncode == 75


def test_a_second_interrupt_ends_the_grace(work: Path) -> None:
    """For somebody who will not wait."""
    process = start(work, "1000", "--pause", "0.05", "--deaf", extra="")
    wait_for(lambda: len(steps(work)) >= 2, "some steps")
    process.send_signal(signal.SIGINT)
    stop = work / "checkpoints" / ".perdure"
    wait_for(lambda: list(stop.glob("jobs/*/attempts/1/stop.json")), "the stop to be accepted")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 75
