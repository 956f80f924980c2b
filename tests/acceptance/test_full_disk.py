"""A full disk: nothing that runs is harmed, nothing that was kept is lost, the message says where room is needed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

from support.daemons import Daemon

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root, for a small disk in a mount namespace"
)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon whose state, and the folder `disk`, are small disks that only it sees."""
    daemon = Daemon(tmp_path)
    mounts = []
    for folder, size in ((daemon.state, "2m"), (tmp_path / "disk", "1m")):
        folder.mkdir()
        mounts.append(f"mount -t tmpfs -o size={size} tmpfs {folder}")
    daemon.prefix = ("unshare", "--mount", "sh", "-c", " && ".join([*mounts, 'exec "$0" "$@"']))
    daemon.start()
    yield daemon
    daemon.close()


def through(daemon: Daemon, path: Path) -> Path:
    """The path as the daemon sees it."""
    assert daemon.process is not None
    return Path(f"/proc/{daemon.process.pid}/root{path}")


def fill_disk(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        _write_for_ever(file)


def _write_for_ever(file: FileIO) -> None:
    while True:
        file.write(bytes(4096))


def test_without_room_for_checkpoints_a_job_is_not_accepted(small: Daemon, tmp_path: Path) -> None:
    """The message says where, and how little is left."""
    (tmp_path / "work").mkdir()
    spec = tmp_path / "work" / "job.toml"
    spec.write_text(f'command = ["true"]\n[checkpoint]\ndir = "{tmp_path}/disk/checkpoints"\n')
    refused = small.run("submit", str(spec))
    assert refused.returncode == 2
    assert f"are free where the checkpoints go ({tmp_path}/disk/checkpoints)" in refused.stderr


def test_a_full_state_directory_harms_no_running_job(small: Daemon, tmp_path: Path) -> None:
    """It refuses new jobs, says why, supervises on, and recovers alone once there is room."""
    job = small.count(tmp_path / "a", "100000", "--pause", "0.02")
    pid = small.wait_for_step(job, 2)["attempts"][-1]["pid"]
    filler = through(small, small.state / "filler")
    fill_disk(filler)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "job.toml").write_text('command = ["true"]\n')
    refused = small.run("submit", str(tmp_path / "b" / "job.toml"))
    assert refused.returncode == 125
    assert "space" in refused.stderr
    step = small.show(job)["step"]
    assert small.wait_for_step(job, step + 5)["attempts"][-1]["pid"] == pid
    filler.unlink()
    again = small.run("submit", str(tmp_path / "b" / "job.toml"))
    assert small.run("wait", again.stdout.strip()).returncode == 0
    small.run("stop", job)
    assert small.wait_for_state(job, "stopped")["exit_status"] == 75
