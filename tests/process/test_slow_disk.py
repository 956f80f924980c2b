"""A save with a deadline on a disk that is really slow: a loop device whose writes the kernel limits. Needs root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.contract.checkpoint import list_checkpoints, verify_checkpoint
from perdured.processes import start_keeper
from support.disks import NoDisk, loop_disk
from support.memory_job import JOB
from support.processes import make_script, run, wait_for_output

pytestmark = [pytest.mark.root, pytest.mark.slow]
BLKIO = Path("/sys/fs/cgroup/blkio")
SPEED = 4 << 20
"""Bytes a second."""
SIZE = 40 << 20
"""What is written would take ten seconds."""


class SlowDisk:
    def __init__(self, root: Path, group: Path) -> None:
        self.root = root
        self._group = group
        device = os.stat(root.parent).st_dev
        self._device = f"{os.major(device)}:{os.minor(device)}"

    def limit(self, speed: int) -> None:
        """0: not at all."""
        (self._group / "blkio.throttle.write_bps_device").write_text(f"{self._device} {speed}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SlowDisk]:
    """All that this process starts meanwhile is limited on it."""
    group = BLKIO / f"perdure-test-{os.getpid()}"
    if not (BLKIO / "blkio.throttle.write_bps_device").exists():
        pytest.skip("no blkio controller of cgroup v1")
    scratch = tmp_path / "disk"
    scratch.mkdir()
    try:
        with loop_disk("ext4", scratch) as made:
            group.mkdir()
            (group / "cgroup.procs").write_text(str(os.getpid()))
            try:
                yield SlowDisk(made.mount / "checkpoints", group)
            finally:
                (BLKIO / "cgroup.procs").write_text(str(os.getpid()))
    except NoDisk as reason:
        pytest.skip(str(reason))
    finally:
        if group.exists():
            group.rmdir()


LINES = (
    f"arena = create_arena({SIZE}); hand_over()",
    "def take_all(step, generation, size):",
    "    arena.begin(generation % 2)",
    "    parts = (Part('a.bin', 0, size),)",
    "    arena.finish(generation % 2, Snapshot(generation, step, parts, Facts('j', 1, 'run')))",
    "def wait_for(name):",
    "    while not os.path.exists(name): time.sleep(0.01)",
    "take_all(10, 1, 4096); say(commit(1)['type'])",
    "wait_for('limited')",
    f"take_all(20, 2, {SIZE})",
    "answer = commit(2, deadline=soon(2.0)); say(answer['type'], answer['why'])",
    "wait_for('lifted')",
    "say(commit(2, deadline=soon(600.0))['type']); os._exit(0)",
)


def test_what_a_slow_disk_cannot_take_in_time_is_not_committed_and_the_one_before_is_untouched(
    disk: SlowDisk, directory: Path
) -> None:
    """And the same snapshot is committed as soon as the disk can."""
    workdir = directory.parent
    disk.root.mkdir()
    (workdir / "checkpoints").symlink_to(disk.root)
    run(start_keeper(make_script(directory, JOB, *LINES)))
    assert wait_for_output(directory) == ["committed"]
    disk.limit(SPEED)
    (workdir / "limited").touch()
    late = "not_committed its deadline has come before its end"
    assert wait_for_output(directory, 2)[1] == late
    found = list_checkpoints(disk.root)
    assert [listed.step for listed in found] == [10]
    assert verify_checkpoint(found[0].path).is_valid
    assert not [path for path in disk.root.iterdir() if path.name.startswith((".tmp", ".trash"))]
    disk.limit(0)
    (workdir / "lifted").touch()
    assert wait_for_output(directory, 3)[2] == "committed"
    found = list_checkpoints(disk.root)
    assert [listed.step for listed in found] == [20, 10]
    assert all(verify_checkpoint(listed.path).is_valid for listed in found)
