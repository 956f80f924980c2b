"""Fetching from the remote: a new machine goes on from the bucket alone, and takes nothing that is not whole."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from perdured.contract import durable
from perdured.contract.checkpoint import choose_checkpoint, commit_checkpoint, list_checkpoints, verify_checkpoint
from perdured.contract.durable import Buffer
from perdured.remote.orders import Done
from support.crashes import load_tree
from support.remotes import Machine, failure, is_done, moved, notes
from support.s3 import Bad
from support.stores import commit, debris_in, facts_of, is_whole

REQUESTS = 8
"""Of a pull where there are two checkpoints: OWNER, listing, manifest and COMMIT of both, a and b."""
B10 = "step-000000000010-000001/sub/b.bin"


@pytest.fixture
def new(machine: Machine, tmp_path: Path) -> Machine:
    """Another machine with the same bucket, into which the first has copied steps 5 and 10."""
    commit(machine.root, 5)
    machine.run_here("push")
    (machine.root / ".seq-000001").unlink()
    for path in machine.root.glob("step-*"):
        path.rename(tmp_path / path.name)
    commit(machine.root, 10)
    machine.run_here("push")
    machine.proxy.seen.clear()
    return Machine(tmp_path / "new", machine.bucket, machine.proxy)


def step_of(root: Path) -> int | None:
    """What a start would resume from, with the right bytes."""
    choice = choose_checkpoint(root)
    assert not choice.rejected
    if choice.chosen is None:
        return None
    assert is_whole(load_tree(choice.chosen.path), choice.chosen.step)
    return choice.chosen.step


def test_a_new_machine_gets_the_newest(new: Machine) -> None:
    """Through the commit protocol, under the same name."""
    reports = new.pull()
    assert moved(reports) == [10]
    assert step_of(new.root) == 10
    assert [listed.path.name for listed in list_checkpoints(new.root)] == ["step-000000000010-000001"]


def test_what_is_here_already_is_not_fetched(new: Machine) -> None:
    """Nor what is older than the disk's newest."""
    new.run_here("pull")
    new.proxy.seen.clear()
    assert moved(new.run_here("pull")) == []
    assert not [request for request in new.proxy.seen if request.file.endswith(".bin")]
    commit(new.root, 20)
    assert moved(new.run_here("pull")) == []


def test_numbers_go_on_where_the_remote_is(new: Machine) -> None:
    """So that no name is ever given to two checkpoints."""
    new.bucket.put("step-000000000007-000041/a.bin", b"an upload that was cut short")
    new.run_here("pull")
    assert commit(new.root, 20).seq > 41


def test_one_that_is_broken_there_gives_way_to_the_next_older(new: Machine) -> None:
    """It is told, stays where it is, and nothing of it gets a checkpoint's name here."""
    data = new.bucket.get(B10)
    new.bucket.put(B10, b"X" + data[1:])
    reports = new.run_here("pull")
    assert moved(reports) == [5]
    assert "step-000000000010-000001 is broken" in notes(reports)
    assert step_of(new.root) == 5
    assert new.bucket.get(B10) == b"X" + data[1:]


@pytest.mark.parametrize("damage", ["cut", "gone", "manifest", "commit"])
def test_what_a_listing_shows_as_broken_is_passed_over(damage: str, new: Machine) -> None:
    """Without reading its payload."""
    folder = "step-000000000010-000001"
    if damage == "cut":
        new.bucket.put(B10, b"short")
    elif damage == "gone":
        new.bucket.delete(B10)
    else:
        new.bucket.put(f"{folder}/{'MANIFEST.json' if damage == 'manifest' else 'COMMIT'}", b"{}")
    reports = new.run_here("pull")
    assert moved(reports) == [5]
    assert folder in notes(reports)


def test_one_without_commit_is_no_checkpoint(new: Machine) -> None:
    """It may be an upload under way."""
    new.bucket.delete("step-000000000010-000001/COMMIT")
    assert moved(new.run_here("pull")) == [5]


def test_one_of_a_later_version_stops_the_start(new: Machine) -> None:
    """Unknown is not absent: to go on from an older one would throw work away without a word."""
    new.bucket.put("step-000000000010-000001/COMMIT", b'{"format": 99}')
    assert "cannot be judged" in failure(new.run_here("pull")).what
    assert not new.root.exists()


def test_it_says_whether_anything_is_there(machine: Machine) -> None:
    """An empty bucket is a fresh start; one with broken checkpoints is not."""
    assert machine.run_here("pull") == [Done(holds_any=False)]
    machine.bucket.put("step-000000000010-000001/COMMIT", b"{}")
    assert machine.run_here("pull")[-1] == Done(holds_any=True)


def test_each_series_is_fetched(machine: Machine, tmp_path: Path) -> None:
    """`perdure.load` finds its own."""
    commit(machine.root, 20, series="a")
    commit(machine.root, 10, series="b")
    for _ in range(2):
        machine.run_here("push")
    new = Machine(tmp_path / "new", machine.bucket, machine.proxy)
    assert sorted(moved(new.run_here("pull"))) == [10, 20]


def test_a_large_file_comes_whole(machine: Machine, tmp_path: Path) -> None:
    """In chunks that are read ahead, and an empty one beside it."""
    data = bytes(range(256)) * (150 << 10)
    commit_checkpoint(machine.root, 10, {"big.bin": [data], "empty": []}, facts_of())
    machine.run_here("push")
    new = Machine(tmp_path / "new", machine.bucket, machine.proxy)
    assert moved(new.run_here("pull")) == [10]
    path = list_checkpoints(new.root)[0].path
    assert (path / "big.bin").read_bytes() == data
    assert verify_checkpoint(path).is_valid


@pytest.mark.parametrize("number", range(1, REQUESTS + 1))
@pytest.mark.parametrize(
    "bad", [Bad(status=500), Bad("lose"), Bad("cut"), Bad("damage down")], ids=["500", "lose", "cut", "damage"]
)
def test_a_fault_at_any_request_is_survived(bad: Bad, number: int, new: Machine) -> None:
    """At once, or by the next run; what is here is whole or not here."""
    new.proxy.script = lambda request: bad if request.number == number else None
    new.run_here("pull")
    assert step_of(new.root) in (None, 5, 10)
    assert is_done(new.run_here("pull"))
    assert step_of(new.root) == 10
    assert not debris_in(new.root)


@pytest.mark.parametrize("number", range(1, REQUESTS + 1))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_request_leaves_nothing_half(when: Literal["before", "after"], number: int, new: Machine) -> None:
    """SIGKILL of the real process; the kills between the calls to the disk are in `tests/durability`."""
    assert new.run_killed("pull", number, when)
    assert step_of(new.root) is None
    assert moved(new.run_here("pull")) == [10]
    assert step_of(new.root) == 10
    assert not debris_in(new.root)


def test_a_full_disk_is_told_in_three_lines(new: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the disk's fault, not the remote's."""

    def refuse(descriptor: int, buffer: Buffer) -> None:
        if new.root.exists():
            raise OSError(28, "No space left on device", str(new.root))
        write_all(descriptor, buffer)

    write_all = durable.write_all
    monkeypatch.setattr("perdured.contract.durable.write_all", refuse)
    failed = failure(new.run_here("pull"))
    assert "No space left" in failed.why
    assert "room" in failed.todo
    assert not debris_in(new.root)


def test_a_folder_serves_as_well(machine: Machine, tmp_path: Path) -> None:
    """Such as that of a network disk. There is no ETag to go by: what arrived is read back."""
    machine.url = (tmp_path / "nas" / "run").as_uri()
    for step in (10, 20, 30):
        commit(machine.root, step)
        assert moved(machine.run_here("push")) == [step]
    machine.keep = 2
    commit(machine.root, 40)
    assert is_done(machine.run_here("push"))
    assert [listed.step for listed in list_checkpoints(tmp_path / "nas" / "run")] == [40, 30]
    new = Machine(tmp_path / "new", machine.bucket, machine.proxy, url=machine.url)
    assert moved(new.run_here("pull")) == [40]
    assert step_of(new.root) == 40
