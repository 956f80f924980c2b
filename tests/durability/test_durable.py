"""The primitives: each does what it says, or raises and leaves things as they were."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from perdured.contract import durable
from support.crashes import load_tree
from support.faults import Fault, FullDisk, Kernel, installed

RENAMES = pytest.mark.parametrize("has_noreplace", [True, False], ids=["NOREPLACE", "without"])


# Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_is_written_whole_and_nothing_else_left(replace: bool, tmp_path: Path) -> None:
    durable.write_file(tmp_path / "file", b"data", replace=replace, mode=0o600)
    assert load_tree(tmp_path) == {"file": b"data"}
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_file_is_replaced_if_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    durable.write_file(tmp_path / "file", b"new")
    assert load_tree(tmp_path) == {"file": b"new"}


@RENAMES
def test_a_file_is_not_replaced_if_that_is_not_wanted(has_noreplace: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with installed(Kernel(has_noreplace=has_noreplace)), pytest.raises(FileExistsError):
        durable.write_file(tmp_path / "file", b"new", replace=False)
    assert load_tree(tmp_path) == {"file": b"old"}


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    """Whatever it points to stays as it is."""
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "file").symlink_to("target")
    durable.write_file(tmp_path / "file", b"new")
    assert (tmp_path / "target").read_bytes() == b"old"
    assert not (tmp_path / "file").is_symlink()


@pytest.mark.parametrize("plant", [lambda path: path.symlink_to("/nowhere"), lambda path: path.touch(), os.mkfifo])
def test_an_exclusive_creation_takes_nothing_that_is_there(plant: Callable[[Path], None], tmp_path: Path) -> None:
    """Not even a dangling link, which an ordinary open would follow."""
    plant(tmp_path / "file")
    with pytest.raises(FileExistsError):
        durable.create_exclusively(tmp_path / "file")


@pytest.mark.parametrize("has_noreplace", [True, False])
@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EXDEV, errno.EMLINK], ids=errno.errorcode.get)
def test_an_error_at_any_call_leaves_the_old_file_or_the_new_one(
    error: int, replace: bool, has_noreplace: bool, tmp_path: Path
) -> None:
    with installed(Kernel(has_noreplace=has_noreplace)) as kernel:
        durable.write_file(tmp_path / "file", b"new", replace=replace)
    for number in range(1, len(kernel.calls) + 1):
        place = tmp_path / str(number)
        place.mkdir()
        if replace:
            (place / "file").write_bytes(b"old")
        before = load_tree(place)
        with installed(Kernel(Fault(number, error=error), has_noreplace=has_noreplace)) as kernel:
            try:
                durable.write_file(place / "file", b"new", replace=replace)
            except OSError:
                assert load_tree(place) in (before, {"file": b"new"}), kernel.calls[number - 1]
            else:
                assert load_tree(place) == {"file": b"new"}, kernel.calls[number - 1]
        assert not kernel.opened


def test_a_failed_sync_is_never_tried_again(tmp_path: Path) -> None:
    """The second one could succeed though the bytes are gone."""
    with installed(Kernel()) as kernel:
        durable.write_file(tmp_path / "file", b"new")
    at = next(number for number, call in enumerate(kernel.calls, 1) if call.name == "fsync")
    with installed(Kernel(Fault(at))) as kernel, pytest.raises(OSError, match=os.strerror(errno.EIO)):
        durable.write_file(tmp_path / "file", b"newer")
    assert [call.name for call in kernel.calls].count("fsync") == 1
    assert load_tree(tmp_path) == {"file": b"new"}


def test_a_directory_that_cannot_be_synced_at_all_is_no_error(tmp_path: Path) -> None:
    """EINVAL: the file system has no such thing. Any other error is one."""
    with installed(Kernel(Fault(2, error=errno.EINVAL))) as kernel:
        durable.fsync_directory(tmp_path)
    assert kernel.calls[1].name == "fsyncdir"
    with installed(Kernel(Fault(2, error=errno.EIO))), pytest.raises(OSError, match=os.strerror(errno.EIO)):
        durable.fsync_directory(tmp_path)


def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with installed(FullDisk()) as kernel, pytest.raises(OSError, match="no space left"):
        durable.write_file(tmp_path / "file", b"new")
    assert load_tree(tmp_path) == {}
    assert not kernel.opened


# Renames ---------------------------------------------------------------------------------------------------------


@RENAMES
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_rename_takes_a_free_name(kind: str, has_noreplace: bool, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x") if kind == "file" else source.mkdir()
    with installed(Kernel(has_noreplace=has_noreplace)):
        durable.rename_noreplace(source, tmp_path / "target")
    assert os.listdir(tmp_path) == ["target"]


@RENAMES
@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.parametrize("taken_by", ["file", "empty directory", "directory", "dangling link"])
def test_a_rename_takes_no_name_that_is_taken(kind: str, taken_by: str, has_noreplace: bool, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x") if kind == "file" else source.mkdir()
    if taken_by == "file":
        target.write_bytes(b"y")
    elif taken_by == "dangling link":
        target.symlink_to("nowhere")
    else:
        target.mkdir()
        if taken_by == "directory":
            (target / "inner").touch()
    with installed(Kernel(has_noreplace=has_noreplace)), pytest.raises(FileExistsError):
        durable.rename_noreplace(source, target)
    assert source.exists()
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]


def test_a_rename_that_the_fallback_cannot_do_gives_the_name_back(tmp_path: Path) -> None:
    """The name was claimed by an empty directory."""
    (tmp_path / "source").mkdir()
    with installed(Kernel(has_noreplace=False)) as kernel:
        durable.rename_noreplace(tmp_path / "source", tmp_path / "target")
    at = next(number for number, call in enumerate(kernel.calls, 1) if call.name == "rename")
    (tmp_path / "target").rename(tmp_path / "source")
    with installed(Kernel(Fault(at), has_noreplace=False)), pytest.raises(OSError, match=os.strerror(errno.EIO)):
        durable.rename_noreplace(tmp_path / "source", tmp_path / "target")
    assert os.listdir(tmp_path) == ["source"]


def test_where_there_are_no_hard_links_a_file_is_claimed_by_creating_it(tmp_path: Path) -> None:
    """As on FAT."""

    class WithoutLinks(Kernel):
        def link(self, source: object, target: object, *, follow_symlinks: bool = True) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with installed(WithoutLinks(has_noreplace=False)) as kernel:
        durable.write_file(tmp_path / "file", b"new", replace=False)
        with pytest.raises(FileExistsError):
            durable.write_file(tmp_path / "file", b"newer", replace=False)
    assert load_tree(tmp_path) == {"file": b"new"}
    assert not kernel.opened


def test_a_rename_of_nothing_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source"):
        durable.rename_noreplace(tmp_path / "source", tmp_path / "target")


# Directories -----------------------------------------------------------------------------------------------------


def test_directories_are_made_as_deep_as_needed_and_each_ones_name_synced(tmp_path: Path) -> None:
    with installed(Kernel()) as kernel:
        durable.make_directories(tmp_path / "a" / "b" / "c")
    assert [(call.name, call.path) for call in kernel.calls if call.name in ("mkdir", "fsyncdir")] == [
        ("mkdir", str(tmp_path / "a")),
        ("fsyncdir", str(tmp_path)),
        ("mkdir", str(tmp_path / "a" / "b")),
        ("fsyncdir", str(tmp_path / "a")),
        ("mkdir", str(tmp_path / "a" / "b" / "c")),
        ("fsyncdir", str(tmp_path / "a" / "b")),
    ]


def test_directories_that_are_there_cost_nothing(tmp_path: Path) -> None:
    with installed(Kernel()) as kernel:
        durable.make_directories(tmp_path)
    assert not kernel.calls


def test_a_directory_that_another_process_makes_first_is_synced_all_the_same(tmp_path: Path) -> None:
    """It may have been killed before its own sync."""

    class Racing(Kernel):
        def mkdir(self, path: object, mode: int = 0o777) -> None:
            os.mkdir(tmp_path / "a")
            super().mkdir(path, mode)

    with installed(Racing()) as kernel:
        durable.make_directories(tmp_path / "a")
    assert [call.name for call in kernel.done] == ["open", "fsyncdir", "close"]


@pytest.mark.parametrize("inner", ["file", "file/below"])
def test_a_file_in_the_way_of_a_directory_is_an_error(inner: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        durable.make_directories(tmp_path / inner)


def test_the_way_down_is_synced_up_to_the_mount_point(tmp_path: Path) -> None:
    with installed(Kernel()) as kernel:
        durable.fsync_ancestors(tmp_path)
    synced = [call.path for call in kernel.calls if call.name == "fsyncdir"]
    device = tmp_path.stat().st_dev
    assert synced == [str(above) for above in tmp_path.parents if above.stat().st_dev == device]


def test_the_way_down_to_a_relative_path_is_synced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with installed(Kernel()) as kernel:
        durable.fsync_ancestors(Path())
    assert str(tmp_path.parent) in [call.path for call in kernel.calls if call.name == "fsyncdir"]


@pytest.mark.parametrize(
    "plant", [lambda path: path.symlink_to("/tmp"), lambda path: path.touch()], ids=["link", "file"]
)
def test_only_a_directory_is_removed_as_a_tree(plant: Callable[[Path], None], tmp_path: Path) -> None:
    plant(tmp_path / "thing")
    with pytest.raises(NotADirectoryError):
        durable.remove_tree(tmp_path / "thing")
    assert os.path.lexists(tmp_path / "thing")


def test_what_vanishes_while_a_tree_is_removed_is_no_error(tmp_path: Path) -> None:
    """Two processes may clear the same trash."""
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "a").touch()
    (tmp_path / "tree" / "b").touch()

    class Racing(Kernel):
        def unlink(self, path: object, *, dir_fd: int | None = None) -> None:
            super().unlink(path, dir_fd=dir_fd)
            super().unlink(path, dir_fd=dir_fd)

    with installed(Racing()):
        durable.remove_tree(tmp_path / "tree")
    assert os.listdir(tmp_path) == []


# Reading ---------------------------------------------------------------------------------------------------------


def test_json_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text('{"a": [1, 2.5, null, "ä"]}', encoding="utf-8")
    assert durable.load_json(tmp_path / "file") == {"a": [1, 2.5, None, "ä"]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "not JSON"), (b"{", "not JSON"), (b"\xff", "not UTF-8"), (b'"' + b"x" * 100 + b'"', "larger than 64 bytes")],
    ids=["empty", "cut", "bytes", "long"],
)
def test_garbage_is_an_error_that_names_the_file_and_the_reason(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError, match=f"file: .*{reason}"):
        durable.load_json(tmp_path / "file", limit=64)


def test_a_file_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b" " * 63 + b"1")
    assert durable.load_json(tmp_path / "file", limit=64) == 1


@pytest.mark.timeout(10)
def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    with pytest.raises(ValueError, match="not a regular file"):
        durable.load_json(tmp_path / "file")


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    """And not to be garbage."""
    with pytest.raises(FileNotFoundError):
        durable.load_json(tmp_path / "file")


# Locks -----------------------------------------------------------------------------------------------------------


def test_a_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    first = durable.create_exclusively(tmp_path / "file")
    durable.lock(first)
    second = os.open(tmp_path / "file", os.O_RDWR)
    assert not durable.try_lock(second)
    os.close(first)
    assert durable.try_lock(second)
    os.close(second)


def test_where_locks_do_not_work_nothing_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder may be alive. Holding one there is no error, and of no effect."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    assert not durable.try_lock(0)
    durable.lock(0)
