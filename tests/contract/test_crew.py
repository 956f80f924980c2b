"""Work shared among threads: all of it is done, or the first error goes up when nobody works any more."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from perdured.contract.checkpoint import commit_checkpoint, verify_checkpoint
from perdured.contract.checkpoint.crew import do_all
from perdured.contract.checkpoint.layout import CHUNK_SIZE
from support.stores import facts_of


def _list_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "perdure-reader"]


@pytest.mark.parametrize("crew", [0, 1, 4])
def test_each_task_is_done_once(crew: int) -> None:
    done: list[int] = []
    do_all(range(1000), done.append, crew)
    assert sorted(done) == list(range(1000))
    assert not _list_threads()


@pytest.mark.parametrize("crew", [1, 4])
def test_the_first_error_ends_the_work_and_goes_up(crew: int) -> None:
    done: list[int] = []

    def fail_at_ten(task: int) -> None:
        if task == 10:
            raise OSError("of the disk")
        done.append(task)

    with pytest.raises(OSError, match="of the disk"):
        do_all(iter(range(10_000_000)), fail_at_ten, crew)
    assert set(range(10)) <= set(done)
    assert not _list_threads()


def test_where_no_thread_can_be_started_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[int] = []
    do_all(range(10), done.append)
    assert done == list(range(10))


def test_of_several_wrong_chunks_the_first_is_named(tmp_path: Path) -> None:
    """Though several are read at a time."""
    path = commit_checkpoint(tmp_path, 1, {"a.bin": [bytes(4 * CHUNK_SIZE + 7)]}, facts_of()).path
    assert verify_checkpoint(path).is_valid
    with (path / "a.bin").open("r+b") as file:
        for number in (4, 3, 1):
            file.seek(number * CHUNK_SIZE + 3)
            file.write(b"x")
    (problem,) = verify_checkpoint(path).problems
    assert f"chunk 1, at byte {CHUNK_SIZE}" in problem.what
