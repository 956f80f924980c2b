"""Opening a state directory: one process at a time, and nothing on the disk is forgotten."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from perdured.errors import PerdureError
from perdured.state import home
from perdured.state.home import LONGEST_PATH, AlreadyHeld, open_state
from perdured.state.paths import StateDir
from perdured.state.registry import Registry
from support.disk_jobs import make_submission, save_submission
from support.jobs import NOW, make_record


@contextmanager
def opened(root: Path) -> Iterator[tuple[StateDir, Registry]]:
    with open_state(root, lambda: NOW) as (state, registry):
        yield state, registry


def jobs_in(root: Path) -> set[str]:
    with opened(root) as (_, registry):
        return {record.id for _, record in registry.load_jobs()}


def lay_down(root: Path, *jobs: str) -> StateDir:
    """Jobs that only the disk knows."""
    state = StateDir(root)
    state.jobs.mkdir(parents=True, exist_ok=True)
    for job in jobs:
        save_submission(state, job, make_submission(root))
    return state


def test_a_second_opening_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(AlreadyHeld) as refused, opened(tmp_path):
        pass
    lines = str(refused.value).splitlines()
    assert len(lines) == 3
    assert str(tmp_path) in lines[0]
    assert f"Process {os.getpid()} " in lines[1]
    assert "--state-dir" in lines[2]


def test_the_refused_one_leaves_the_lock_with_its_holder(tmp_path: Path) -> None:
    with opened(tmp_path):
        for _ in range(2):
            with pytest.raises(AlreadyHeld), opened(tmp_path):
                pass
    with opened(tmp_path):
        pass


def test_a_lock_file_that_a_dead_process_left_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("1\n")
    with opened(tmp_path) as (state, _):
        assert state.lock.read_text() == f"{os.getpid()}\n"


def test_the_lock_is_free_again_when_the_block_has_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), opened(tmp_path):
        raise RuntimeError
    with opened(tmp_path):
        pass


def test_a_place_that_cannot_be_made_is_told_in_three_lines(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PerdureError, match="cannot be made") as refused, opened(tmp_path / "file" / "state"):
        pass
    assert len(str(refused.value).splitlines()) == 3


def test_the_folder_of_jobs_is_the_owners_alone(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as (state, _):
        assert state.jobs.stat().st_mode & 0o777 == 0o700
        assert state.root.stat().st_mode & 0o777 == 0o700


# A registry that was lost ---------------------------------------------------------------------------------------------


def _delete(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garble(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)


@pytest.mark.parametrize("lose", [_delete, _empty, _garble])
def test_a_lost_registry_loses_no_job(tmp_path: Path, lose: Callable[[Path], None]) -> None:
    lay_down(tmp_path, "a", "b")
    assert jobs_in(tmp_path) == {"a", "b"}
    lose(tmp_path / "registry.sqlite")
    assert jobs_in(tmp_path) == {"a", "b"}


def test_a_broken_registry_is_kept_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lay_down(tmp_path, "a")
    _garble(tmp_path / "registry.sqlite")
    with caplog.at_level(logging.WARNING):
        assert jobs_in(tmp_path) == {"a"}
    assert (tmp_path / "registry.sqlite.broken-1").exists()
    assert "registry.sqlite.broken-1" in caplog.text


def test_a_registry_that_is_there_is_believed_and_not_filled_from_the_disk(tmp_path: Path) -> None:
    """Else a job that is being removed would come back, and a failed one would start again."""
    with opened(tmp_path) as (_, registry):
        registry.save_submission(make_submission(tmp_path), make_record(id="known", failures=3), [], NOW)
    lay_down(tmp_path, "known", "other")
    with opened(tmp_path) as (_, registry):
        assert [(record.id, record.failures) for _, record in registry.load_jobs()] == [("known", 3)]


def test_a_rebuild_that_was_cut_short_at_any_job_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon is killed after none, one, two and all of the jobs."""
    ids = {"a", "b", "c"}
    for count in range(len(ids) + 1):
        root = tmp_path / str(count)
        lay_down(root, *ids)
        with monkeypatch.context() as patch:
            patch.setattr(home, "rebuild_registry", _killed_after(count))
            with pytest.raises(KeyboardInterrupt):
                jobs_in(root)
        assert jobs_in(root) == ids


def _killed_after(count: int) -> Callable[[Registry, StateDir, float], int]:
    def rebuild(registry: Registry, state: StateDir, now: float) -> int:
        for directory in sorted(state.jobs.iterdir())[:count]:
            registry.save_submission(make_submission(state.root), make_record(id=directory.name), [], now)
        raise KeyboardInterrupt

    return rebuild


def test_a_registry_on_a_disk_that_fails_is_left_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as (_, registry):
        registry.save_submission(make_submission(tmp_path), make_record(id="a"), [], NOW)
    shutil.copy(tmp_path / "registry.sqlite", tmp_path / "before")

    def fail(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", fail)
        with pytest.raises(PerdureError, match="disk I/O error"), opened(tmp_path):
            pass
    assert (tmp_path / "registry.sqlite").read_bytes() == (tmp_path / "before").read_bytes()
    assert jobs_in(tmp_path) == {"a"}


def test_a_path_that_sqlite_cannot_open_is_told_before_anything_is_made(tmp_path: Path) -> None:
    root = tmp_path.joinpath(*["x" * 100] * 6)
    with pytest.raises(PerdureError, match="too long"), opened(root):
        pass
    assert not list(tmp_path.iterdir())


def test_the_longest_path_that_is_taken_works(tmp_path: Path) -> None:
    left = LONGEST_PATH - len(os.fsencode(tmp_path)) - len("/registry.sqlite") - 1
    root = tmp_path.joinpath(*["x" * 99] * (left // 100), "x" * (left % 100))
    with opened(root) as (_, registry):
        registry.save_events("a", [], 0.0)
