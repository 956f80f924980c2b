"""Retention on the remote: never fewer than two proven ones, and nothing on the word of a listing that failed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from support.remotes import Machine, is_done, notes
from support.s3 import Bad
from support.stores import commit


def push(machine: Machine, *steps: int) -> None:
    for step in steps:
        commit(machine.root, step)
        assert is_done(machine.run_here("push"))


def test_the_newest_stay(machine: Machine) -> None:
    """As many as the spec says, two at least."""
    machine.keep = 2
    push(machine, 10, 20, 30, 40)
    assert machine.on_remote() == [30, 40]
    assert {key.partition("/")[0] for key in machine.bucket.objects()} == {
        "step-000000000030-000003",
        "step-000000000040-000004",
    }


def test_nothing_goes_while_the_newest_is_not_proven(machine: Machine) -> None:
    """It was written anew since, with other bytes."""
    machine.keep = 2
    push(machine, 10, 20)
    commit(machine.root, 30)

    def damage(request: object) -> None:
        data = machine.bucket.objects().get("step-000000000030-000003/a.bin")
        if data is not None and "step-000000000030-000003/COMMIT" in machine.bucket.objects():
            machine.bucket.put("step-000000000030-000003/a.bin", b"X" + data[1:])

    machine.proxy.after = damage
    reports = machine.run_here("push")
    machine.proxy.after = lambda request: None
    assert "is damaged, and is kept" in notes(reports)
    assert {key.partition("/")[0][:17] for key in machine.bucket.objects()} == {
        "step-000000000010",
        "step-000000000020",
        "step-000000000030",
    }


def test_a_new_machine_reads_those_that_must_stay_before_one_goes(machine: Machine, tmp_path: Path) -> None:
    """It has no record of what was proven. A damaged one does not count for the two."""
    machine.keep = 3
    push(machine, 10, 20, 30)
    data = machine.bucket.get("step-000000000020-000002/a.bin")
    machine.bucket.put("step-000000000020-000002/a.bin", b"X" + data[1:])
    new = Machine(tmp_path / "new", machine.bucket, machine.proxy, keep=2)
    new.run_here("pull")
    assert "is damaged, and is kept" in notes(new.run_here("push"))
    found = {int(key[5:17]) for key in machine.bucket.objects()}
    assert found == {10, 20, 30}  # with 20 broken, 10 and 30 are the two


def test_what_was_proven_is_not_read_again(machine: Machine) -> None:
    """Each push would otherwise read all that is kept."""
    machine.keep = 2
    push(machine, 10, 20, 30)
    assert not [r for r in machine.proxy.seen if r.method == "GET" and r.file in ("a.bin", "b.bin")]


@pytest.mark.parametrize("number", range(9, 13))
def test_a_listing_that_failed_deletes_nothing(number: int, machine: Machine) -> None:
    """Nor one that cannot be read."""
    machine.keep = 2
    push(machine, 10, 20)
    commit(machine.root, 30)
    at = len(machine.proxy.seen) + number
    machine.proxy.script = lambda request: Bad(status=403, code="AccessDenied") if request.number >= at else None
    machine.run_here("push")
    assert {10, 20} <= {int(key[5:17]) for key in machine.bucket.objects() if key.endswith("COMMIT")}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("delete", [1, 2])
def test_a_kill_while_deleting_leaves_no_half_checkpoint(
    delete: int, when: Literal["before", "after"], machine: Machine
) -> None:
    """COMMIT goes first; the next run removes the rest."""
    machine.keep = 2
    push(machine, 10, 20)
    commit(machine.root, 30)
    probe = len(machine.proxy.seen)
    first = _find_first_delete(machine, probe)
    assert machine.run_killed("push", first + delete - 1, when)
    assert set(machine.on_remote()) >= {20, 30}
    push(machine, 40)
    assert machine.on_remote() == [30, 40]
    assert {int(key[5:17]) for key in machine.bucket.objects()} == {30, 40}


def _find_first_delete(machine: Machine, before: int) -> int:
    """OWNER, uploads, listing, two manifests and COMMITs; a, b, manifest, listing, OWNER, COMMIT twice; listing, three
    of both."""
    return 1 + 1 + 1 + 4 + 3 + 1 + 1 + 2 + 1 + 6 + 1


def test_what_dead_uploads_left_is_removed_below_the_newest(machine: Machine) -> None:
    """Above it one may be under way."""
    machine.bucket.put("step-000000000005-000001/a.bin", b"half")
    machine.bucket.put("step-000000000099-000009/a.bin", b"half")
    machine.bucket.put("notes.txt", b"somebody else's")
    push(machine, 10)
    folders = {key.partition("/")[0] for key in machine.bucket.objects()}
    assert folders == {"step-000000000010-000001", "step-000000000099-000009", "notes.txt"}
