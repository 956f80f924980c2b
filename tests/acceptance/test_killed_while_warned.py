"""The daemon is killed at random moments around a notice: before it has told the job, while that saves, while it stands
still, after the notice was withdrawn. The job loses nothing, is started once, and ends with the bits of one left alone.

`TEST_SEED=…` repeats a run.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from random import Random

import pytest

from perdured.contract.checkpoint import list_checkpoints, verify_checkpoint
from support.counting import WALK
from support.daemons import Daemon
from support.seeds import make_random

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROUNDS = 8
SCRIPT = (
    WALK
    + """
with perdure.Run(walk=walk, every="1000000 steps") as run:
    for item in run.batches(range(1500)):
        walk.place = walk.place * 0.9 + random.random() * item
        time.sleep(float(sys.argv[1]))
        run.report()
with open("final", "w") as file:
    file.write(f"{run.step} {walk.place!r} {random.random()!r}")
"""
)


def submit(daemon: Daemon, work: Path, pause: str) -> str:
    work.mkdir()
    (work / "train.py").write_text(SCRIPT)
    return daemon.submit(work, sys.executable, "train.py", pause)


def replace(daemon: Daemon, random: Random) -> None:
    """Killed within a moment, and started again."""
    signal.sigtimedwait([], random.choice([0.0, random.uniform(0.0, 0.5)]))
    daemon.kill()
    daemon.start()


def go_through(daemon: Daemon, job: str, notice: Path, random: Random) -> bool:
    """One notice, from its beginning to its end. False: the job was done before."""
    notice.with_name(".new").write_text("deadline = 4min\nsureness = ceiling\ndisk = kept")
    notice.with_name(".new").rename(notice)
    replace(daemon, random)
    stands = daemon.wait_for_state(job, "parked", "succeeded", ceiling=60.0)
    if stands["state"] == "succeeded":
        return False
    assert stands["checkpoint"]["step"] == stands["step"]
    replace(daemon, random)
    assert daemon.wait_for_state(job, "parked")["step"] == stands["step"]
    notice.unlink()
    replace(daemon, random)
    daemon.wait_for_state(job, "running", "succeeded")
    return True


def test_a_daemon_that_is_killed_at_any_moment_of_a_notice_costs_the_job_nothing(
    daemon: Daemon, tmp_path: Path
) -> None:
    random, rounds = make_random(), 0
    alone, disturbed = tmp_path / "alone", tmp_path / "disturbed"
    quiet, job = submit(daemon, alone, "0"), submit(daemon, disturbed, "0.01")
    daemon.wait_for_state(quiet, "succeeded")
    daemon.wait_for_step(job, 3)
    while rounds < ROUNDS and go_through(daemon, job, daemon.state / "notices" / "spot", random):
        rounds += 1
    shown = daemon.wait_for_state(job, "succeeded", ceiling=60.0)
    assert rounds >= 3
    assert len(shown["attempts"]) == 1
    assert (disturbed / "final").read_text() == (alone / "final").read_text()
    assert all(verify_checkpoint(listed.path).is_valid for listed in list_checkpoints(disturbed / "checkpoints"))
