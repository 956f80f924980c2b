"""`perdure drill` on a real job of a real daemon: it says what the real thing would cost, and the job goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdured.contract.checkpoint.store import list_checkpoints
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.core.drill import LABELS
from support.counting import format_counting
from support.daemons import BIN, Daemon, wait_for

pytestmark = pytest.mark.slow

SCRIPT = format_counting('every="20 steps", keep=5')
SPEC = '[health]\nhang_after = "2s"\n[restart]\nbackoff = "10ms..50ms"\n[stop]\ngrace = "5s"\n'


@pytest.fixture
def job(daemon: Daemon, tmp_path: Path) -> str:
    """One that trains, and has two checkpoints to spare."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "count.py").write_text(SCRIPT)
    job = daemon.submit(work, sys.executable, "count.py", extra=SPEC)
    daemon.wait_for_step(job, 60)
    return job


def checkpoints_of(daemon: Daemon, job: str) -> Path:
    return Path(daemon.show(job)["checkpoint_dir"])


def drill(daemon: Daemon, job: str, kind: str, *options: str) -> dict[str, Any]:
    done = daemon.run("drill", job, kind, "--yes", "--json", "--timeout", "40", *options)
    outcome: dict[str, Any] = json.loads(done.stdout)
    assert outcome["faults"] == [], done.stdout + done.stderr
    assert done.returncode == 0
    assert outcome["passed"] is True
    return outcome


@pytest.mark.parametrize("kind", ["preempt", "crash", "hang"])
def test_the_job_comes_back_and_every_phase_has_its_time(kind: str, daemon: Daemon, job: str) -> None:
    outcome = drill(daemon, job, kind)
    assert set(outcome["seconds"]) == {words for _, words in LABELS[kind]}  # type: ignore[index]
    for phase in ("restarted", "first new step"):
        assert outcome["seconds"][phase] > 0
    shown = daemon.show(job)
    assert (shown["state"], len(shown["attempts"])) == ("running", 2)
    first = shown["attempts"][0]
    assert first["cause"] == {"preempt": "preempted", "crash": "signal", "hang": "hang"}[kind]
    # A snapshot in memory may be newer than the last step that was told.
    assert outcome["steps_lost"] == max(first["step"] - shown["attempts"][1]["resumed_from_step"], 0)
    if kind == "preempt":
        assert outcome["steps_lost"] == 0


def test_a_broken_checkpoint_is_set_aside_and_its_whole_file_is_kept(daemon: Daemon, job: str) -> None:
    root = checkpoints_of(daemon, job)
    outcome = drill(daemon, job, "corrupt")
    (note,) = outcome["notes"]
    assert all(verify_checkpoint(each.path).is_valid for each in list_checkpoints(root)[:1])
    if "was not needed" in note:  # a newer snapshot was in memory all the same
        assert not (root / "drill").exists()
        return
    whole = Path(note.rpartition(" as ")[2])
    broken = root / "quarantine" / whole.parent.name
    assert not verify_checkpoint(broken).is_valid
    (broken / whole.name).unlink()
    whole.rename(broken / whole.name)
    assert verify_checkpoint(broken).is_valid, "nothing was lost for good"


def test_a_job_outlives_the_daemon(daemon: Daemon, job: str) -> None:
    pid = daemon.show(job)["attempts"][0]["pid"]
    command = [str(BIN / "perdure"), "drill", job, "daemon", "--yes", "--json", "--timeout", "40"]
    with subprocess.Popen(command, env=daemon.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        assert daemon.process is not None
        daemon.process.wait(timeout=20)
        daemon.start()
        out, err = asked.communicate(timeout=60)
    outcome = json.loads(out)
    assert (asked.returncode, outcome["faults"]) == (0, []), err
    assert daemon.show(job)["attempts"][0]["pid"] == pid


def test_a_preemption_that_is_broken_off_does_not_leave_the_job_parked(daemon: Daemon, job: str) -> None:
    command = [str(BIN / "perdure"), "drill", job, "preempt", "--yes"]
    with subprocess.Popen(command, env=daemon.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asked:
        wait_for(lambda: daemon.show(job)["state"] != "running" or None, "the drill to begin")
        asked.send_signal(signal.SIGINT)
        asked.communicate(timeout=20)
    daemon.wait_for_state(job, "running")
    wait_for(lambda: len(daemon.show(job)["attempts"]) == 2, "the next attempt")


def test_nothing_is_done_unasked_or_to_a_job_that_does_not_train(daemon: Daemon, job: str) -> None:
    asked = daemon.run("drill", job, "crash")
    assert asked.returncode == 2
    assert "Nothing was done." in asked.stderr
    daemon.run("stop", job)
    stopped = daemon.run("drill", job, "crash", "--yes")
    assert stopped.returncode == 2
    assert "not ready for a drill" in stopped.stderr
    assert len(daemon.show(job)["attempts"]) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "work" / "checkpoints"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.root
def test_a_full_disk_stops_no_training_and_its_room_comes_back(small_disk: Path, daemon: Daemon) -> None:
    (small_disk.parent / "count.py").write_text(SCRIPT)
    job = daemon.submit(small_disk.parent, sys.executable, "count.py", extra=SPEC)
    daemon.wait_for_step(job, 60)
    outcome = drill(daemon, job, "disk-full")
    assert outcome["steps_lost"] == 0
    assert outcome["seconds"]["saved again"] >= outcome["seconds"]["room given back"] > 0
    free = os.statvfs(small_disk)
    assert free.f_bavail * free.f_frsize > 32 << 20
    assert len(daemon.show(job)["attempts"]) == 1
