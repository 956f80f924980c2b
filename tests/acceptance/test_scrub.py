"""Bits that flip on the disk are found by the daemon, not by the restart that needs them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from perdured.contract.checkpoint import list_checkpoints, verify_checkpoint
from support.daemons import Daemon, wait_for

YEAR = 365 * 86400.0


def _age(root: Path) -> None:
    """Long since committed, as far as anybody can see: each is due at once."""
    for listed in list_checkpoints(root):
        at = time.time() - YEAR
        os.utime(listed.path / "COMMIT", (at, at))


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_found_told_and_set_aside_and_the_whole_ones_are_said_to_be_verified(daemon: Daemon) -> None:
    folder = daemon.root / "job"
    job = daemon.count(folder, "5")
    daemon.wait_for_state(job, "succeeded")
    root = folder / "checkpoints"
    steps = [listed.step for listed in list_checkpoints(root)]
    broken = list_checkpoints(root)[1].path
    daemon.kill()
    _flip_a_bit(broken / "count.json")
    _age(root)
    daemon.start()
    kept = wait_for(lambda: list((root / "quarantine").glob(broken.name)), "the broken one to be set aside")
    assert not verify_checkpoint(kept[0]).is_valid
    wait_for(
        lambda: all(each["verified_at"] for each in daemon.client.list_checkpoints(job)), "all others to be verified"
    )
    assert [each["step"] for each in daemon.client.list_checkpoints(job)] == [steps[0], *steps[2:]]
    (told,) = [event for event in daemon.client.list_all_events(job)[0] if event["kind"] == "quarantined"]
    assert "found while it was verified again" in told["text"]
    assert daemon.show(job)["checkpoint"]["step"] == steps[0]


def test_what_was_verified_is_remembered_over_the_death_of_the_daemon(daemon: Daemon) -> None:
    folder = daemon.root / "job"
    job = daemon.count(folder, "3")
    daemon.wait_for_state(job, "succeeded")
    daemon.kill()
    _age(folder / "checkpoints")
    daemon.start()

    def found() -> list[str | None] | None:
        times = [each["verified_at"] for each in daemon.client.list_checkpoints(job)]
        return times if all(times) else None

    times = wait_for(found, "all to be verified")
    daemon.kill()
    daemon.start()
    assert found() == times
    assert "VERIFIED" in daemon.run("checkpoints", job).stdout
