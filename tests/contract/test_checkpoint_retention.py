"""Deleting old checkpoints: never one too many, never anything that is not ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.contract import durable
from perdured.contract.checkpoint import list_checkpoints, retain, retention
from perdured.contract.checkpoint.claims import claim_seq, release_claim
from perdured.contract.checkpoint.layout import format_temporary
from perdured.contract.checkpoint.sweep import sweep
from support.crashes import load_tree
from support.damage import DAMAGES, Damage, seal
from support.disks import NoDisk, bind_mount, unmount
from support.faults import Fault, Kernel, installed
from support.stores import commit

TOKEN = "0123456789ab"


@pytest.fixture(autouse=True)
def _nothing_verified_before() -> Iterator[None]:
    retention._verified.clear()
    yield
    retention._verified.clear()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def _steps(root: Path) -> list[int]:
    return [listed.step for listed in list_checkpoints(root)]


def _commit_steps(root: Path, *steps: int) -> list[Path]:
    return [commit(root, step).path for step in steps]


def _break(path: Path) -> None:
    (path / "a.bin").write_bytes(b"not what was written")


# What stays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "left"), [(-1, 2), (0, 2), (1, 2), (2, 2), (3, 3), (5, 5), (9, 5)])
def test_the_newest_stay_and_never_fewer_than_two(keep: int, left: int, root: Path) -> None:
    paths = _commit_steps(root, 10, 20, 30, 40, 50)
    assert sorted(retain(root, keep)) == paths[: 5 - left]
    assert len(_steps(root)) == left
    assert _steps(root)[0] == 50


def test_the_newest_are_those_of_the_highest_step_not_the_last_written(root: Path) -> None:
    _commit_steps(root, 40, 10, 30, 20)
    retain(root, 2)
    assert _steps(root) == [40, 30]


def test_nothing_is_deleted_while_the_newest_is_broken(root: Path) -> None:
    """Whatever happened to it, this is no time to delete what may be the last good one."""
    _break(_commit_steps(root, 10, 20, 30, 40)[-1])
    assert retain(root, 2) == []
    assert _steps(root) == [40, 30, 20, 10]


def test_a_broken_one_in_between_neither_counts_nor_goes(root: Path) -> None:
    """Two good ones stay below it; the broken one is for quarantine."""
    _break(_commit_steps(root, 10, 20, 30, 40)[2])
    assert [path.name[:17] for path in retain(root, 2)] == ["step-000000000010"]
    assert _steps(root) == [40, 30, 20]


@pytest.mark.parametrize(
    "damage", [damage for damage in DAMAGES if damage.is_seen_without_hashes], ids=lambda d: d.name
)
def test_what_is_damaged_is_never_deleted(damage: Damage, root: Path) -> None:
    """Even the oldest. It may be evidence, or a newer Perdure's. (Every byte is not read of what goes.)"""
    paths = _commit_steps(root, 10, 20, 30, 40)
    damage.apply(paths[0])
    retain(root, 2)
    assert paths[0].exists()
    assert _steps(root)[:2] == [40, 30]


def test_unhealthy_ones_do_not_push_out_the_healthy(root: Path) -> None:
    """A loss that became infinite, and went on being saved."""
    _commit_steps(root, 10, 20, 30)
    for step in (40, 50, 60, 70):
        commit(root, step, healthy=False)
    retain(root, 2)
    assert _steps(root) == [70, 60, 30, 20]


def test_each_series_is_counted_by_itself(root: Path) -> None:
    for step in range(1, 5):
        commit(root, step, series="a")
    commit(root, 1, series="b")
    retain(root, 2)
    assert _steps(root) == [4, 3, 1]


def test_what_is_protected_stays_and_is_not_counted(root: Path) -> None:
    """The one that the running attempt resumed from. Its path may be spelled in another way."""
    paths = _commit_steps(root, 10, 20, 30, 40)
    retain(root, 2, protect=[root / "." / paths[0].name, Path("relative") / paths[1].name])
    assert _steps(root) == [40, 30, 20, 10]


def test_the_newest_is_read_before_anything_goes(root: Path) -> None:
    """Every byte of it, and before the first rename."""
    paths = _commit_steps(root, 10, 20, 30)
    with installed(Kernel()) as kernel:
        retain(root, 2)
    first_rename = next(at for at, call in enumerate(kernel.calls) if call.name == "rename")
    read = {call.path for call in kernel.calls[:first_rename] if call.name == "preadv"}
    assert {f"{path}/{name}" for path in paths[1:] for name in ("a.bin", "sub/b.bin")} <= read


def test_each_is_read_once_by_a_process_and_again_when_it_was_written_to(root: Path) -> None:
    """Reading all that is kept after each save would cost a multiple of the save."""
    paths = _commit_steps(root, 10, 20, 30)
    retain(root, 2)
    commit(root, 40)
    with installed(Kernel()) as kernel:
        retain(root, 2)
    assert not [call for call in kernel.calls if call.name == "preadv" and paths[2].name in call.path]
    commit(root, 50)
    data = (paths[2] / "a.bin").read_bytes()
    (paths[2] / "a.bin").write_bytes(b"X" * len(data))
    commit(root, 25)
    retain(root, 3)
    assert _steps(root) == [50, 40, 30, 25]  # 30 has other bytes now, so it does not count


def test_what_was_verified_counts_only_while_it_is_complete(root: Path) -> None:
    """Names and sizes are looked at each time."""
    paths = _commit_steps(root, 10, 20, 30)
    retain(root, 2)
    (paths[2] / "extra").touch()
    _commit_steps(root, 40, 50)
    retain(root, 3)
    assert _steps(root) == [50, 40, 30, 20]


def test_one_that_vanishes_while_it_is_looked_at_does_not_count(root: Path) -> None:
    """Nothing goes on its word, and nothing is raised."""
    paths = _commit_steps(root, 10, 20, 30)

    class Vanishing(Kernel):
        def lstat(self, path: object) -> os.stat_result:
            if path == paths[2] / "a.bin":
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            return super().lstat(path)

    with installed(Vanishing()):
        assert retain(root, 2) == []
    assert _steps(root) == [30, 20, 10]


def test_when_nothing_can_go_nothing_is_read(root: Path) -> None:
    _commit_steps(root, 10, 20)
    with installed(Kernel()) as kernel:
        retain(root, 2)
    assert not [call for call in kernel.calls if call.name == "preadv"]


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOENT, errno.EACCES], ids=errno.errorcode.get)
def test_nothing_goes_when_the_listing_fails(error: int, root: Path) -> None:
    _commit_steps(root, 10, 20, 30)
    (root / f".tmp-000001-{TOKEN}").mkdir()
    before = load_tree(root)
    with installed(Kernel(Fault(1, error=error))):
        assert retain(root, 2) == []
    assert load_tree(root) == before


def test_nothing_goes_when_there_is_no_checkpoint(root: Path) -> None:
    """A listing that comes out empty may be a lie: not even debris goes."""
    assert retain(root, 2) == []
    (root / f".tmp-000001-{TOKEN}").mkdir(parents=True)
    (root / f".trash-000001-{TOKEN}").mkdir()
    assert retain(root, 2) == []
    assert len(os.listdir(root)) == 2


def test_times_decide_nothing(root: Path) -> None:
    """A clock ten years off, in either direction."""
    for number, path in enumerate(_commit_steps(root, 10, 20, 30, 40)):
        for file in (path, path / "COMMIT", path / "a.bin"):
            os.utime(file, (2e9 if number % 2 else 1e6, 2e9 if number % 2 else 1e6))
    retain(root, 2)
    assert _steps(root) == [40, 30]


# Debris ----------------------------------------------------------------------------------------------------------


def test_a_dead_writers_directory_goes_and_a_live_ones_stays(root: Path) -> None:
    """Alive is who holds the lock on its claim."""
    commit(root, 10)
    claim = claim_seq(root)
    temporary = root / format_temporary(claim.seq, TOKEN)
    temporary.mkdir()
    sweep(root)
    assert temporary.exists()
    release_claim(claim)
    sweep(root)
    assert not temporary.exists()


def test_a_dead_writer_without_a_claim_is_dead(root: Path) -> None:
    (root / format_temporary(7, TOKEN)).mkdir(parents=True)
    sweep(root)
    assert os.listdir(root) == []


def test_where_locks_do_not_work_every_writer_is_alive(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown is not dead."""
    commit(root, 10)
    temporary = root / format_temporary(1, TOKEN)
    temporary.mkdir()
    monkeypatch.setattr(durable, "try_lock", lambda descriptor: False)
    sweep(root)
    assert temporary.exists()


def test_a_claim_that_cannot_be_opened_is_a_live_writers(root: Path) -> None:
    commit(root, 10)
    temporary = root / format_temporary(1, TOKEN)
    temporary.mkdir()
    with installed(Kernel(Fault(2, error=errno.EACCES))) as kernel:
        sweep(root)
    assert kernel.calls[1].path.endswith(".seq-000001")
    assert temporary.exists()


def test_trash_is_emptied(root: Path) -> None:
    (root / f".trash-000001-{TOKEN}" / "sub").mkdir(parents=True)
    (root / f".trash-000001-{TOKEN}" / "sub" / "a.bin").touch()
    sweep(root)
    assert os.listdir(root) == []


FOREIGN = [
    ".tmp-mine",
    ".tmp-000001",
    ".trash-old",
    ".trash-000001-XYZ",
    "latest",
    "step-3",
    "notes.txt",
    ".git",
    "quarantine",
]


def test_what_is_not_ours_stays(root: Path) -> None:
    """Names that only look a little like ours, and a checkpoint without COMMIT, which may be a copy under way."""
    _commit_steps(root, 10, 20, 30)
    foreign = [*FOREIGN, "step-000000000001-000009"]
    for name in foreign:
        (root / name).mkdir()
        (root / name / "a.bin").write_bytes(b"mine")
    retain(root, 2)
    assert [name for name in foreign if not (root / name / "a.bin").exists()] == []


# Deletion as a weapon --------------------------------------------------------------------------------------------


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "victim"
    path.mkdir()
    (path / "precious").write_bytes(b"precious")
    return path


@pytest.mark.parametrize("name", [f".trash-000001-{TOKEN}", f".tmp-000001-{TOKEN}", "step-000000000005-000001"])
def test_a_link_with_a_name_of_ours_harms_nobody(name: str, root: Path, victim: Path) -> None:
    _commit_steps(root, 10, 20, 30)
    (root / name).symlink_to(victim)
    retain(root, 2)
    sweep(root)
    assert (victim / "precious").read_bytes() == b"precious"


def test_links_in_what_is_deleted_are_removed_and_not_followed(root: Path, victim: Path) -> None:
    trash = root / f".trash-000001-{TOKEN}"
    trash.mkdir(parents=True)
    (trash / "directory").symlink_to(victim)
    (trash / "file").symlink_to(victim / "precious")
    (trash / "up").symlink_to("..")
    os.link(victim / "precious", trash / "hard")
    sweep(root)
    assert not trash.exists()
    assert (victim / "precious").read_bytes() == b"precious"


def test_a_directory_that_becomes_a_link_while_it_is_deleted_is_not_followed(root: Path, victim: Path) -> None:
    """The race of every recursive delete: looked at as a directory, swapped before it is entered."""
    trash = root / f".trash-000001-{TOKEN}"
    (trash / "sub").mkdir(parents=True)

    class Swapping(Kernel):
        def open(self, path: object, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
            if path == "sub":
                (trash / "sub").rmdir()
                (trash / "sub").symlink_to(victim)
            return super().open(path, flags, mode, dir_fd=dir_fd)

    with installed(Swapping()):
        sweep(root)
    assert (victim / "precious").exists()
    sweep(root)
    assert not trash.exists()


@pytest.mark.root
def test_a_file_system_mounted_in_what_is_deleted_stays(root: Path, victim: Path, tmp_path: Path) -> None:
    """It is left as trash, with what is mounted whole."""
    mount = root / f".trash-000001-{TOKEN}" / "mount"
    mount.mkdir(parents=True)
    memory = Path("/dev/shm") / f"perdure-test-{os.getpid()}"
    memory.mkdir()
    try:
        (memory / "precious").write_bytes(b"precious")
        bind_mount(memory, mount)
        try:
            sweep(root)
            assert (memory / "precious").exists()
        finally:
            unmount(mount)
    except (NoDisk, FileNotFoundError) as reason:
        pytest.skip(str(reason))
    finally:
        (memory / "precious").unlink(missing_ok=True)
        memory.rmdir()


@pytest.mark.timeout(20)
def test_a_tree_nested_without_end_costs_neither_the_stack_nor_the_descriptors(root: Path) -> None:
    """It stays, and everything else goes."""
    deep = root / f".trash-000001-{TOKEN}"
    deep.mkdir(parents=True)
    (root / f".trash-000002-{TOKEN}").mkdir()
    descriptor = os.open(deep, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    sweep(root)
    assert os.listdir(root) == [deep.name]
    _remove_deep(deep)


def _remove_deep(path: Path) -> None:
    """By lifting what is inside, as no path can be that long."""
    while True:
        inner = path / "d"
        if not inner.exists():
            path.rmdir()
            return
        lifted = path.with_name(f"lifted-{path.name[-12:]}")
        inner.rename(lifted)
        path.rmdir()
        lifted.rename(path)


def test_fifos_sockets_and_files_without_permissions_are_deleted_without_opening(root: Path) -> None:
    trash = root / f".trash-000001-{TOKEN}"
    trash.mkdir(parents=True)
    os.mkfifo(trash / "fifo")
    (trash / "locked").touch(mode=0)
    sweep(root)
    assert not trash.exists()


def test_a_manifest_that_names_files_outside_deletes_nothing_outside(root: Path, victim: Path) -> None:
    paths = _commit_steps(root, 10, 20, 30, 40)
    seal(paths[0], files=[{"name": "../../victim/precious", "length": 8, "checksums": ["00000000"]}])
    retain(root, 2)
    assert (victim / "precious").exists()
    assert paths[0].exists()
