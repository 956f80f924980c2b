"""The lock of a checkpoint directory is where others look for it, also after somebody has deleted its file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from perdured.contract.holding import KEEPER, DirectoryTaken, find_writer, hold_directory
from perdured.keeper.guard import Guard
from perdured.keeper.loop import Loop
from perdured.processes import DirectoryInUse, start_keeper
from support.processes import (
    attempt_directory,
    get_run,
    kill_process,
    make_script,
    run,
    wait_for_end,
    wait_until,
)

NAME = "job a (attempt 1)"


class Guarded:
    """A directory whose lock is guarded by a loop of this process."""

    def __init__(self, root: Path) -> None:
        self.root, self.loop = root, Loop()
        self.guard = Guard(root, hold_directory(root, NAME), NAME)
        self.guard.join(self.loop)

    def turn(self) -> None:
        for fd, events in self.loop._epoll.poll(0):
            self.loop._callbacks[fd](events)

    def close(self) -> None:
        self.loop.close()
        os.close(self.guard._events)
        os.close(self.guard.held)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path / "checkpoints")
    yield made
    made.close()


def check_held(root: Path) -> None:
    assert find_writer(root) == NAME
    with pytest.raises(DirectoryTaken, match="job a"):
        hold_directory(root, "job b")


def test_a_lock_that_was_deleted_is_held_again_however_often(guarded: Guarded) -> None:
    for _ in range(5):
        (guarded.root / KEEPER).unlink()
        guarded.turn()
        check_held(guarded.root)


def test_a_lock_that_was_moved_or_written_over_is_held_again(guarded: Guarded) -> None:
    (guarded.root / KEEPER).rename(guarded.root / "aside")
    guarded.turn()
    check_held(guarded.root)
    (guarded.root / "new").touch()
    (guarded.root / "new").rename(guarded.root / KEEPER)
    guarded.turn()
    check_held(guarded.root)


def test_one_that_was_deleted_before_anybody_watched_is_held_again(tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    held = hold_directory(root, NAME)
    (root / KEEPER).unlink()
    guard = Guard(root, held, NAME)
    guard.join(loop := Loop())
    check_held(root)
    loop.close()
    os.close(guard._events)
    os.close(held)


def test_a_lock_that_was_only_touched_stays_as_it_is(guarded: Guarded) -> None:
    before = os.stat(guarded.root / KEEPER).st_ino
    (guarded.root / KEEPER).chmod(0o600)
    guarded.turn()
    assert os.stat(guarded.root / KEEPER).st_ino == before
    check_held(guarded.root)


def test_a_directory_that_was_deleted_is_not_made_anew(guarded: Guarded) -> None:
    shutil.rmtree(guarded.root)
    guarded.turn()
    assert not guarded.root.exists()


def test_who_was_faster_keeps_it_and_it_is_logged(guarded: Guarded, capfd: pytest.CaptureFixture[str]) -> None:
    (guarded.root / KEEPER).unlink()
    other = hold_directory(guarded.root, "job b")
    guarded.turn()
    assert find_writer(guarded.root) == "job b"
    assert "job b was faster" in capfd.readouterr().err
    os.close(other)


def test_nothing_is_kept_but_the_lock_and_the_watch(guarded: Guarded) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        (guarded.root / KEEPER).unlink()
        guarded.turn()
    assert set(os.listdir("/proc/self/fd")) == before
    assert not os.get_inheritable(guarded.guard.held)


def test_no_second_attempt_starts_where_the_first_ones_lock_was_deleted(directory: Path, tmp_path: Path) -> None:
    root = tmp_path / "checkpoints"
    run(start_keeper(replace(make_script(directory, "stay()"), checkpoint_dir=str(root))))
    (root / KEEPER).unlink()
    wait_until(lambda: find_writer(root) is not None, "the lock to be held again")
    with attempt_directory(tmp_path / "other") as other:
        with pytest.raises(DirectoryInUse):
            run(start_keeper(replace(make_script(other, "say('ran')"), job="other", checkpoint_dir=str(root))))
        kill_process(get_run(directory).leader)
        wait_for_end(directory)
