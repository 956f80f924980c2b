"""What the model promises, on real file systems: the power cut, the full disk, the disk gone read-only."""

from __future__ import annotations

import ast
import errno
import os
import resource
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from perdured.contract import durable
from perdured.contract.checkpoint import choose_checkpoint, commit_checkpoint
from support.crashes import load_tree
from support.disks import LoopDisk, NoDisk, loop_disk, remount, small_tmpfs
from support.faults import Fault, Kernel, Killed, installed
from support.mutants import mutants_without, mutated
from support.stores import commit, commit_large, debris_in, facts_of, is_whole


@pytest.fixture(params=["ext4", "xfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LoopDisk]:
    try:
        with loop_disk(request.param, tmp_path) as made:
            yield made
    except NoDisk as reason:
        pytest.skip(str(reason))


COMMITS: dict[str, Callable[[Path, int], object]] = {
    "small": commit,
    "of several chunks": commit_large,
    "from memory": partial(commit_large, are_images=True),
}


def _commit_until_call(root: Path, how: str, number: int) -> Kernel:
    """With O_DIRECT, as far as the file system has it."""
    with installed(Kernel(Fault(number, "kill before"), really_syncs=True)) as kernel:
        try:
            COMMITS[how](root, 20)
        except Killed:
            return kernel
    return kernel


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", list(COMMITS))
def test_after_a_power_cut_at_any_call_the_newest_or_the_one_before_is_whole(how: str, disk: LoopDisk) -> None:
    """The power goes before each call of a commit in turn, and at last after it returned. The threads of the copier
    make their calls in another order each time, and of all orders each is as right as any other."""
    number, is_done = 0, False
    while not is_done:
        number += 1
        root = disk.mount / str(number)
        commit(root, 10)
        is_done = not _commit_until_call(root, how, number).is_dead
        disk.cut_power()
        choice = choose_checkpoint(root)
        assert not choice.rejected, number
        assert choice.chosen is not None, number
        assert is_whole(load_tree(choice.chosen.path), choice.chosen.step), number
        assert choice.chosen.step in ((20,) if is_done else (10, 20)), number
        assert commit(root, 30).seq > choice.chosen.seq
    assert number > 30


@pytest.mark.slow
@pytest.mark.root
def test_the_same_cut_shows_empty_files_where_they_were_not_synced(disk: LoopDisk) -> None:
    """The positive control: without one fsync in the code, the cut after a commit leaves a broken checkpoint."""
    root = disk.mount / "root"
    (mutant,) = (m for m in mutants_without(durable, lambda s: "os.fsync(" in _text(s)) if "create_filled" in m.name)
    with mutated(mutant):
        commit(root, 10)
    assert choose_checkpoint(root).chosen is not None
    disk.cut_power()
    assert choose_checkpoint(root).chosen is None


def _text(statement: object) -> str:
    return ast.unparse(statement) if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call) else ""


@pytest.mark.root
def test_a_disk_that_fills_up_keeps_the_older_one_and_works_again_with_room(tmp_path: Path) -> None:
    """A file system of 2 MiB, and a checkpoint of 4."""
    mount = tmp_path / "small"
    try:
        with small_tmpfs(mount, "2m"):
            commit(mount / "root", 10)
            with pytest.raises(OSError, match="No space left"):
                commit_checkpoint(mount / "root", 20, {"a.bin": [bytes(4 << 20)]}, facts_of())
            choice = choose_checkpoint(mount / "root")
            assert choice.chosen is not None
            assert choice.chosen.step == 10
            assert not debris_in(mount / "root")
            commit(mount / "root", 20)
    except NoDisk as reason:
        pytest.skip(str(reason))


@pytest.mark.root
def test_the_room_that_a_killed_writer_took_is_given_back_before_it_is_needed(tmp_path: Path) -> None:
    """Otherwise a job killed while saving could never save again."""
    mount = tmp_path / "small"
    try:
        with small_tmpfs(mount, "2m"):
            commit(mount / "root", 10)
            left = mount / "root" / ".tmp-000002-0123456789ab"
            left.mkdir()
            (left / "a.bin").write_bytes(bytes(1_500_000))
            commit_checkpoint(mount / "root", 20, {"a.bin": [bytes(1_500_000)]}, facts_of())
    except NoDisk as reason:
        pytest.skip(str(reason))


@pytest.mark.root
def test_a_disk_gone_read_only_still_gives_the_newest(tmp_path: Path) -> None:
    """Choosing writes nothing, so it works there."""
    mount = tmp_path / "small"
    try:
        with small_tmpfs(mount, "2m"):
            commit(mount / "root", 10)
            remount(mount, "ro")
            with pytest.raises(OSError, match="Read-only"):
                commit(mount / "root", 20)
            choice = choose_checkpoint(mount / "root")
            assert choice.chosen is not None
            assert not choice.rejected
    except NoDisk as reason:
        pytest.skip(str(reason))


def test_a_file_larger_than_the_limit_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """`ulimit -f`: the kernel cuts the write short and then refuses."""
    root = tmp_path / "root"
    commit(root, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
            commit_checkpoint(root, 20, {"a.bin": [bytes(4 << 20)]}, facts_of())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(root).count("step-000000000010-000001") == 1
    assert not debris_in(root)
