"""Taking in a checkpoint that was committed in another tier: the same one, or nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perdured.contract.checkpoint import (
    CameDamaged,
    CheckpointName,
    FileEntry,
    choose_checkpoint,
    list_checkpoints,
    parse_sealed,
    receive_checkpoint,
    verify_checkpoint,
)
from support.stores import commit, debris_in, payload_of, receive, sealed_elsewhere


def test_it_keeps_its_name_its_manifest_and_its_commit(tmp_path: Path) -> None:
    """The same checkpoint in another tier, so that the tiers can be compared by name."""
    sealed = sealed_elsewhere(20, 7)
    done = receive(tmp_path, 20, 7)
    assert (done.path.name, done.step, done.seq) == ("step-000000000020-000007", 20, 7)
    assert (done.path / "MANIFEST.json").read_bytes() == sealed.manifest_bytes
    assert (done.path / "COMMIT").read_bytes() == sealed.commit_bytes
    assert verify_checkpoint(done.path).is_valid


def test_no_number_of_the_other_place_is_given_out_again(tmp_path: Path) -> None:
    """Also not one that only its newer, unhealthy or deleted ones had."""
    receive(tmp_path, 20, 7, above=12)
    assert commit(tmp_path, 21).seq > 12


def test_an_older_one_is_taken_in_beside_a_higher_number(tmp_path: Path) -> None:
    """As when the newest here was broken."""
    for step in (10, 20, 30):
        commit(tmp_path, step)
    assert receive(tmp_path, 25, 2).path.name == "step-000000000025-000002"
    assert [listed.step for listed in list_checkpoints(tmp_path)] == [30, 25, 20, 10]


@pytest.mark.parametrize("change", ["a bit", "cut", "longer", "empty"])
def test_what_came_damaged_is_not_taken_in(change: str, tmp_path: Path) -> None:
    """Not one file of it stays."""
    commit(tmp_path, 10)

    def read(file: FileEntry) -> list[bytes]:
        data = payload_of(20)[file.name]
        if file.name != "sub/b.bin":
            return [data]
        return [
            {"a bit": bytes([data[0] ^ 1]) + data[1:], "cut": data[:-1], "longer": data + b"x", "empty": b""}[change]
        ]

    with pytest.raises(CameDamaged, match=r"sub/b\.bin"):
        receive_checkpoint(tmp_path, sealed_elsewhere(20, 7), read)
    assert not debris_in(tmp_path)
    chosen = choose_checkpoint(tmp_path).chosen
    assert chosen is not None
    assert chosen.step == 10


def test_an_unmarked_directory_of_that_name_goes_to_quarantine(tmp_path: Path) -> None:
    """A kill between the rename and COMMIT left it. It is not deleted, and not in the way."""
    done = receive(tmp_path, 20, 7)
    os.unlink(done.path / "COMMIT")
    assert verify_checkpoint(receive(tmp_path, 20, 7).path).is_valid
    assert (tmp_path / "quarantine" / done.path.name / "a.bin").exists()


def test_a_committed_one_of_that_name_is_never_replaced(tmp_path: Path) -> None:
    """Whatever it holds."""
    done = receive(tmp_path, 20, 7)
    (done.path / "a.bin").write_bytes(b"other")
    with pytest.raises(FileExistsError):
        receive(tmp_path, 20, 7)
    assert (done.path / "a.bin").read_bytes() == b"other"
    assert not debris_in(tmp_path)


def test_a_manifest_and_a_commit_that_do_not_belong_together_are_refused() -> None:
    """Before a byte is written."""
    a, b = sealed_elsewhere(20, 7), sealed_elsewhere(21, 7)
    with pytest.raises(ValueError, match="not the one"):
        parse_sealed(a.name, a.manifest_bytes, b.commit_bytes)
    with pytest.raises(ValueError, match="another"):
        parse_sealed(CheckpointName(21, 7), a.manifest_bytes, a.commit_bytes)
