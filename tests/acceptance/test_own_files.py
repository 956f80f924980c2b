"""What a program wrote by itself is in the store before its next start, whoever was watching when it wrote."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.daemons import Daemon, wait_for

PROGRAM = """
import json, os, signal, sys, time, zipfile
from pathlib import Path
kind, end = sys.argv[1], int(sys.argv[2])
resumed = sys.argv[sys.argv.index("--resume") + 1] if "--resume" in sys.argv else None
def read(path):
    return int(zipfile.ZipFile(path).read("s") if kind == "zip" else Path(path).read_text())
start = read(resumed) if resumed else 0
print("start", start, flush=True)
stop = []
signal.signal(15, lambda *_: stop.append(1))
Path("out").mkdir(exist_ok=True)
def save(step):
    temporary = Path("out/temporary")
    if kind == "zip":
        with zipfile.ZipFile(temporary, "w") as archive: archive.writestr("s", str(step))
    else:
        temporary.write_text(str(step))
    temporary.rename(f"out/ckpt-{step}.pt")
if not start:
    save(1)
    while not Path("go").exists() and not stop: time.sleep(0.01)
    save(7)
    sys.exit(75 if stop else 1)
"""
EXTRA = """
[checkpoint]
pattern = "out/ckpt-*.pt"
resume_args = ["--resume", "{checkpoint}"]
[restart]
backoff = "10ms..10ms"
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    (work / "own.py").write_text(PROGRAM)
    return work


def committed(work: Path) -> list[int]:
    return sorted(int(path.parent.name.split("-")[1]) for path in work.glob("checkpoints/step-*/COMMIT"))


@pytest.mark.parametrize("kind", ["zip", "plain"])
def test_what_was_written_while_no_daemon_lived_is_taken_in_before_the_next_start(
    daemon: Daemon, work: Path, kind: str
) -> None:
    job = daemon.submit(work, sys.executable, "own.py", kind, "9", extra=EXTRA)
    wait_for((work / "out" / "ckpt-1.pt").exists, "the first file")
    daemon.kill()
    (work / "go").touch()
    wait_for((work / "out" / "ckpt-7.pt").exists, "the last file")
    daemon.start()
    assert daemon.run("wait", job, "--timeout", "30").returncode == 0
    assert "start 7" in daemon.run("logs", job).stdout


@pytest.mark.parametrize("kind", ["zip", "plain"])
def test_what_was_written_just_before_the_end_is_resumed_from(daemon: Daemon, work: Path, kind: str) -> None:
    """Nobody waits for it to be quiet: the one who wrote it is gone."""
    (work / "go").touch()
    job = daemon.submit(work, sys.executable, "own.py", kind, "9", extra=EXTRA)
    assert daemon.run("wait", job, "--timeout", "30").returncode == 0
    assert "start 7" in daemon.run("logs", job).stdout


def test_what_was_saved_on_a_stop_is_there_when_the_job_is_stopped(daemon: Daemon, work: Path) -> None:
    job = daemon.submit(work, sys.executable, "own.py", "plain", "9", extra=EXTRA)
    wait_for((work / "out" / "ckpt-1.pt").exists, "the first file")
    daemon.run("stop", job)
    assert daemon.run("wait", job, "--timeout", "30").returncode == 75
    assert committed(work)[-1] == 7


def test_a_folder_that_is_made_after_the_start_is_watched(daemon: Daemon, work: Path) -> None:
    """And a file that must be quiet is taken soon after it is, not when the clock strikes."""
    job = daemon.submit(work, sys.executable, "own.py", "plain", "9", extra=EXTRA)
    wait_for(lambda: committed(work) == [1], "the first file to be safe", ceiling=15)
    daemon.run("stop", job)
    daemon.run("wait", job)


def test_a_broken_newest_file_is_moved_aside_and_the_one_before_is_resumed_from(daemon: Daemon, work: Path) -> None:
    """A program that picks its newest by itself must find a whole one."""
    (work / "own.py").write_text(PROGRAM.replace("save(7)\n", "Path('out/ckpt-7.pt').write_bytes(b'PK half')\n"))
    (work / "go").touch()
    job = daemon.submit(work, sys.executable, "own.py", "zip", "9", extra=EXTRA)
    assert daemon.run("wait", job, "--timeout", "30").returncode == 0
    assert "start 1" in daemon.run("logs", job).stdout
    aside = work / "out" / "perdure-quarantine"
    assert sorted(path.name for path in aside.iterdir()) == ["ckpt-7.pt", "ckpt-7.pt.reason.json"]
    assert (aside / "ckpt-7.pt").read_bytes() == b"PK half"
    assert "ckpt-7.pt is broken" in daemon.run("events", job).stdout
