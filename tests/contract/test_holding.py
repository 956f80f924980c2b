"""One keeper holds a directory of checkpoints; who looks is told which, and takes nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from perdured.contract import holding as holding_module
from perdured.contract.holding import KEEPER, LOCK, DirectoryTaken, find_writer, hold_directory
from support.stores import holding


def test_a_directory_has_one_keeper_by_whatever_path_it_is_reached(tmp_path: Path) -> None:
    root, link = tmp_path / "checkpoints", tmp_path / "link"
    link.symlink_to(root)
    held = hold_directory(root, "job a (attempt 1)")
    with pytest.raises(DirectoryTaken, match=r"job a \(attempt 1\)"):
        hold_directory(link, "job b (attempt 1)")
    assert find_writer(link) == "job a (attempt 1)"
    os.close(held)
    assert find_writer(root) is None
    os.close(hold_directory(link, "job b (attempt 1)"))


def test_a_keeper_and_the_training_that_it_keeps_do_not_stand_in_each_others_way(tmp_path: Path) -> None:
    held = hold_directory(tmp_path, "job a (attempt 1)")
    with holding(tmp_path):
        assert find_writer(tmp_path) == "job a (attempt 1)"
        os.close(held)
        assert (find_writer(tmp_path) or "").startswith("process ")


@pytest.mark.parametrize("text", [b"", b"\xff\x00 \n", b"x" * 10_000])
def test_a_name_that_makes_no_sense_is_not_shown(text: bytes, tmp_path: Path) -> None:
    held = hold_directory(tmp_path, "job a")
    (tmp_path / KEEPER).write_bytes(text)
    found = find_writer(tmp_path)
    assert found is not None
    assert found.isprintable()
    assert 0 < len(found) <= 200
    os.close(held)


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / KEEPER).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        hold_directory(tmp_path, "job a")
    assert not (tmp_path / "elsewhere").exists()


def test_a_short_name_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    os.close(hold_directory(tmp_path, "job with-a-long-name (attempt 1)"))
    held = hold_directory(tmp_path, "job b")
    assert find_writer(tmp_path) == "job b"
    os.close(held)


def test_a_directory_that_is_taken_costs_no_descriptor(tmp_path: Path) -> None:
    held = hold_directory(tmp_path, "job a")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DirectoryTaken):
        hold_directory(tmp_path, "job b")
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(held)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_only_a_file_system_without_locks_keeps_nobody_out(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("perdured.contract.holding.fcntl.fcntl", refuse)
    if number == errno.EIO:
        with pytest.raises(OSError, match="Input/output"):
            hold_directory(tmp_path, "job a")
    else:
        os.close(hold_directory(tmp_path, "job a"))


def test_a_training_of_another_container_has_no_number_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / LOCK).touch()
    monkeypatch.setattr(holding_module, "find_lock_holder", lambda *_: 0)
    assert find_writer(tmp_path) == "a process of another container"
