"""Jobs that ask for more than there is wait for their turn, and say what for, over the death of the daemon too."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from perdured.wire import Event
from support.daemons import Daemon, wait_for

TWO_CPUS = "[resources]\ncpus = 2\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "perdured.toml"
    path.write_text("cpus = 2\n")
    return path


@pytest.fixture
def limited(tmp_path: Path, config: Path) -> Iterator[Daemon]:
    """A daemon that has two CPUs for its jobs."""
    daemon = Daemon(tmp_path)
    daemon.start("--config", str(config))
    yield daemon
    daemon.close()


def started_at(daemon: Daemon, job: str) -> str:
    return str(daemon.show(job)["attempts"][0]["started_at"])


def test_jobs_that_do_not_fit_wait_for_their_turn_by_priority_and_then_age(limited: Daemon, tmp_path: Path) -> None:
    first = limited.count(tmp_path / "a", "1000", "--pause", "0.05", extra=f"priority = 5\n{TWO_CPUS}")
    limited.wait_for_step(first, 1)
    old = limited.count(tmp_path / "b", "1", extra=TWO_CPUS)
    young = limited.count(tmp_path / "c", "1", extra=TWO_CPUS)
    urgent = limited.count(tmp_path / "d", "1", extra=f"priority = 5\n{TWO_CPUS}")
    free = limited.count(tmp_path / "e", "1")
    assert limited.run("wait", free, "--timeout", "20").returncode == 0, "what asks for nothing starts at once"
    shown = {job: limited.show(job) for job in (old, young, urgent)}
    assert [each["state"] for each in shown.values()] == ["queued"] * 3
    assert shown[urgent]["reason"] == "queued: needs 2 CPUs, 0 free"
    assert shown[old]["reason"] == f"queued: needs 2 CPUs, 0 free; behind job {urgent} (counter)"
    assert [shown[job]["queue"]["position"] for job in (urgent, old, young)] == [1, 2, 3]
    assert "behind job" in limited.run("ps").stdout
    assert limited.run("stop", first).returncode == 0
    assert limited.run("wait", old, young, urgent, "--timeout", "30").returncode == 0
    assert started_at(limited, urgent) < started_at(limited, old) < started_at(limited, young)


def test_a_daemon_that_comes_back_finds_every_place_taken_that_was(
    limited: Daemon, config: Path, tmp_path: Path
) -> None:
    first = limited.count(tmp_path / "a", "1000", "--pause", "0.05", extra=TWO_CPUS)
    limited.wait_for_step(first, 1)
    second = limited.count(tmp_path / "b", "1", extra=TWO_CPUS)
    limited.kill()
    limited.start("--config", str(config))
    seen = limited.show(first)["step"]
    wait_for(lambda: limited.show(first)["step"] > seen, "the first to go on")
    assert limited.show(second)["state"] == "queued"
    assert limited.run("restart", second, "--no-wait").returncode == 0
    assert limited.show(second)["state"] == "queued", "nobody jumps the queue"
    assert limited.run("stop", first).returncode == 0
    assert limited.run("wait", second, "--timeout", "30").returncode == 0


def test_a_job_of_a_higher_priority_takes_the_place_of_one_that_comes_back_and_loses_no_step(
    limited: Daemon, config: Path, tmp_path: Path
) -> None:
    low, folder = limited.count(tmp_path / "a", "60", "--pause", "0.05", extra=TWO_CPUS), tmp_path / "a"
    limited.wait_for_step(low, 3)
    high = limited.count(tmp_path / "b", "1000", "--pause", "0.05", extra=f"priority = 5\n{TWO_CPUS}")
    parked = limited.wait_for_state(low, "parked")
    assert parked["attempts"][-1]["cause"] == "preempted"
    assert parked["exit_status"] is None, "who waits for it goes on waiting"
    assert parked["reason"].startswith("parked: needs 2 CPUs, 0 free")
    assert any(f"job {high} (counter), of priority 5, needs its place" in e["text"] for e in told(limited, low))
    limited.kill()
    limited.start("--config", str(config))
    assert limited.show(low)["state"] == "parked"
    assert limited.run("stop", high).returncode == 0
    assert limited.run("wait", low, "--timeout", "60").returncode == 0
    steps = [int(line) for line in (folder / "steps.txt").read_text().splitlines() if line.isdecimal()]
    assert steps == list(range(1, 61))
    assert limited.show(low)["restarts"] == 1


def told(daemon: Daemon, job: str) -> list[Event]:
    return daemon.client.list_all_events(job)[0]


def test_an_array_runs_as_many_jobs_so_many_at_once_and_what_comes_after_it_waits_for_all(
    daemon: Daemon, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    script = "import os, sys; open(f'{sys.argv[1]}.of.' + os.environ['PERDURE_ARRAY_SIZE'], 'x')"
    spec = work / "job.toml"
    spec.write_text(
        f"name = 'sweep'\nparallel = 1\ncommand = {json.dumps([sys.executable, '-c', script, 'out-{index}'])}"
    )
    done = daemon.run("submit", str(spec), "--array", "1-3")
    assert done.returncode == 0, done.stderr
    jobs = done.stdout.split()
    after = [word for job in jobs for word in ("--after", job)]
    last = daemon.run("submit", *after, "--workdir", str(work), "--", "ls").stdout.strip()
    assert daemon.run("wait", last, *jobs, "--timeout", "40").returncode == 0
    shown = [daemon.show(job) for job in jobs]
    assert [job["name"] for job in shown] == ["sweep-1", "sweep-2", "sweep-3"]
    assert {path.name for path in work.glob("out-*")} == {"out-1.of.3", "out-2.of.3", "out-3.of.3"}
    assert daemon.show(last)["attempts"][0]["started_at"] >= max(job["ended_at"] for job in shown)


def test_a_group_that_is_paused_saves_and_steps_aside_until_it_is_resumed_over_the_death_of_the_daemon(
    daemon: Daemon, tmp_path: Path
) -> None:
    job = daemon.count(tmp_path / "a", "30", "--pause", "0.05", extra='group = "sweep"\n')
    daemon.wait_for_step(job, 3)
    assert daemon.run("group", "pause", "sweep").returncode == 0
    assert daemon.wait_for_state(job, "parked")["reason"] == "parked: its group sweep is paused"
    other = daemon.count(tmp_path / "b", "1", extra='group = "sweep"\n')
    daemon.kill()
    daemon.start()
    assert [daemon.show(each)["state"] for each in (job, other)] == ["parked", "queued"]
    assert daemon.run("group").stdout.split()[-4:] == ["sweep", "paused", "0", "2"]
    assert daemon.run("group", "resume", "sweep").returncode == 0
    assert daemon.run("wait", job, other, "--timeout", "40").returncode == 0
    steps = [int(line) for line in (tmp_path / "a" / "steps.txt").read_text().splitlines() if line.isdecimal()]
    assert steps == list(range(1, 31))


def test_a_job_does_not_start_before_its_time_and_then_by_itself(daemon: Daemon, tmp_path: Path) -> None:
    at = datetime.now(timezone.utc) + timedelta(seconds=2)
    job = daemon.submit(tmp_path / "a", "true", extra=f"at = {at.isoformat()}\n")
    assert daemon.show(job)["reason"].startswith("queued: not before ")
    assert daemon.run("wait", job, "--timeout", "30").returncode == 0
    assert datetime.fromisoformat(daemon.show(job)["attempts"][0]["started_at"].replace("Z", "+00:00")) >= at


def test_a_job_is_not_forgotten_while_another_waits_for_its_success(daemon: Daemon, tmp_path: Path) -> None:
    first = daemon.submit(tmp_path / "a", "false", extra="[restart]\nfailures = 1\n")
    daemon.wait_for_state(first, "failed")
    second = daemon.submit(tmp_path / "b", "true", extra=f'after = ["{first}"]\n')
    shown = daemon.show(second)
    assert (shown["state"], "which failed" in shown["reason"]) == ("queued", True)
    assert "comes before job" in daemon.run("rm", "-y", first).stderr
    assert daemon.run("rm", "-y", second, first).returncode == 0


def test_what_would_never_start_is_not_accepted(limited: Daemon, tmp_path: Path) -> None:
    refused = limited.run("submit", "--cpus", "3", "--", "true")
    assert refused.returncode == 2
    assert "needs 3 CPUs, and there is no more than 2 CPUs" in refused.stderr
    assert limited.client.list_jobs(everything=True) == []
