"""A job that sleeps in the kernel is not given up, not doubled, and not silent: it is said what it waits for."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import Daemon, wait_for
from support.disks import CAN_FREEZE, LoopDisk, NoDisk, frozen, loop_disk, sleeps_in_the_kernel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.skipif(not CAN_FREEZE, reason="needs root and fsfreeze"),
]

WRITES = """
import os, signal, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("up", flush=True)
signal.sigwait([signal.SIGUSR1])
os.write(fd, b"x")
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    try:
        with loop_disk("ext4", tmp_path) as disk:
            yield disk
    except NoDisk as why:
        pytest.skip(str(why))


def test_a_stop_that_the_kernel_holds_up_is_explained_and_is_one_when_it_wakes(
    disk: LoopDisk, daemon: Daemon, tmp_path: Path
) -> None:
    command = (sys.executable, "-c", WRITES, str(disk.mount / "file"))
    job = daemon.submit(tmp_path / "work", *command, extra='[stop]\ngrace = "1s"\n')
    wait_for(lambda: "up" in daemon.run("logs", job).stdout, "the job to run")
    pid = daemon.show(job)["attempts"][-1]["pid"]
    with frozen(disk.mount):
        os.kill(pid, signal.SIGUSR1)
        wait_for(lambda: sleeps_in_the_kernel(pid), "the write")
        daemon.run("stop", "--no-wait", job)
        wait_for(lambda: f"process {pid} (" in daemon.show(job)["reason"], "it to be named", 40)
        shown = daemon.show(job)
        assert (shown["state"], len(shown["attempts"])) == ("saving", 1)
        assert "is in uninterruptible sleep" in shown["reason"]
    assert daemon.wait_for_state(job, "stopped")["attempts"][-1]["signal"] == signal.SIGTERM
