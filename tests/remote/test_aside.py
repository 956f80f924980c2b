"""What was set aside on the disk on purpose is set aside on the remote, where nothing is deleted either."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.contract.checkpoint import list_checkpoints, quarantine
from support.remotes import Machine, moved, notes
from support.stores import commit

FOLDER_10 = "step-000000000010-000001"


def test_a_run_that_went_back_is_not_overtaken_by_its_own_past(machine: Machine, tmp_path: Path) -> None:
    """Else nothing would go up until it had passed the old step, and a new machine would resume from there."""
    commit(machine.root, 10)
    newest = commit(machine.root, 20).path
    machine.run_here("push")
    quarantine(newest, "the run went back", counts=False)
    commit(machine.root, 15)
    reports = machine.run_here("push")
    assert moved(reports) == [15]
    assert "step-000000000020-000002 is set aside" in notes(reports)
    assert machine.on_remote() == [15]
    new = Machine(tmp_path / "new", machine.bucket, machine.proxy)
    assert moved(new.run_here("pull")) == [15]
    assert "quarantine/step-000000000020-000002/COMMIT" in machine.bucket.objects()
    assert "step-000000000020-000002/a.bin" in machine.bucket.objects()


def test_a_broken_one_of_the_disk_stays_where_it_is_whole(machine: Machine) -> None:
    """It was not set aside on purpose: the remote's copy is the one to go on from."""
    path = commit(machine.root, 10).path
    machine.run_here("push")
    quarantine(path, "its bytes are wrong")
    assert moved(machine.run_here("pull")) == [10]


def test_a_fresh_start_sets_aside_what_is_there(machine: Machine, tmp_path: Path) -> None:
    """Its first checkpoints have lower steps, and must count."""
    commit(machine.root, 10)
    machine.run_here("push")
    new = Machine(tmp_path / "new", machine.bucket, machine.proxy, is_fresh=True)
    assert moved(new.run_here("pull")) == []
    assert list_checkpoints(new.root) == []
    assert commit(new.root, 5).seq > 1
    assert moved(new.run_here("push")) == [5]
    assert machine.on_remote() == [5]
    assert f"{FOLDER_10}/a.bin" in machine.bucket.objects()


@pytest.mark.parametrize("number", range(1, 12))
def test_a_kill_while_setting_aside_is_made_good(number: int, machine: Machine) -> None:
    """COMMIT is kept before it goes; the next run goes on."""
    newest = commit(machine.root, 20).path
    machine.run_here("push")
    quarantine(newest, "the run went back", counts=False)
    commit(machine.root, 15)
    machine.run_killed("push", number, "after")
    assert moved(machine.run_here("push")) in ([15], [])
    assert machine.on_remote() == [15]
    assert "quarantine/step-000000000020-000001/COMMIT" in machine.bucket.objects()
