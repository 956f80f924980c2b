"""The spool: what is put into it is submitted once, or rejected with the reason beside it, and nothing that anybody
puts there ends the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from perdured import spool as spool_module
from perdured.errors import WrongState
from perdured.spool import MAX_SPEC, Spool
from perdured.supervise.service import Service
from support.fake_service import FakeService

GOOD = 'command = ["true"]\n'
CEILING = 20.0


class Folder:
    """A spool, and the service that it submits to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.service = FakeService()
        directory.mkdir()

    def put(self, name: str, content: bytes = GOOD.encode()) -> None:
        (self.directory / name).write_bytes(content)

    def work(self, until: Callable[[], object] | None = None, once_ready: Callable[[], object] = lambda: None) -> None:
        """Lets the spool run until the condition holds (no spec lies there any more); it must not end by itself."""
        asyncio.run(self._work(until or (lambda: not self.waiting), once_ready))

    async def _work(self, until: Callable[[], object], once_ready: Callable[[], object]) -> None:
        spool = asyncio.create_task(Spool(self.directory, cast(Service, self.service)).run())
        try:
            await _wait(spool, (self.directory / "rejected").is_dir)
            once_ready()
            await _wait(spool, until)
        finally:
            spool.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await spool

    @property
    def names(self) -> list[str | None]:
        return [submission.spec.name for submission in self.service.submitted]

    @property
    def waiting(self) -> list[Path]:
        return [*self.directory.glob("*.toml"), *(self.directory / "claimed").glob("*")]

    @property
    def accepted(self) -> list[str]:
        """Without the ids before the names."""
        return sorted(path.name.partition("-")[2] for path in (self.directory / "accepted").iterdir())

    @property
    def rejected(self) -> dict[str, str]:
        """Name to reason."""
        folder = self.directory / "rejected"
        return {p.name: (folder / f"{p.name}.reason").read_text() for p in folder.iterdir() if p.name.endswith(".toml")}


async def _wait(spool: asyncio.Task[None], until: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CEILING
    while not until():
        assert not spool.done(), "the spool has ended"
        assert loop.time() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "spool")


def named(name: str) -> bytes:
    return f'name = "{name}"\n{GOOD}'.encode()


def test_what_lies_there_at_the_start_is_submitted_in_order(folder: Folder) -> None:
    for name in ("b", "a", "c"):
        folder.put(f"{name}.toml", named(name))
    folder.work()
    assert folder.names == ["a", "b", "c"]
    assert folder.accepted == ["a.toml", "b.toml", "c.toml"]
    assert {path.name[:8] for path in (folder.directory / "accepted").iterdir()} == set(folder.service.jobs)
    assert folder.rejected == {}


def test_what_is_renamed_into_it_is_submitted(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(named("new"))
    folder.work(lambda: folder.accepted, lambda: (tmp_path / "new").rename(folder.directory / "new.toml"))
    assert folder.names == ["new"]


def test_what_is_written_into_it_is_submitted(folder: Folder) -> None:
    folder.work(lambda: folder.accepted, lambda: folder.put("new.toml", named("new")))
    assert folder.names == ["new"]


def test_what_is_not_called_a_spec_is_left_alone(folder: Folder) -> None:
    """A spec may be written under another name first, and renamed when it is whole."""
    folder.put("a.toml.part", named("a"))
    folder.put("b.toml", named("b"))
    folder.work()
    assert folder.names == ["b"]
    assert (folder.directory / "a.toml.part").exists()


def test_a_relative_workdir_starts_at_home_and_the_environment_is_a_bare_one(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in {"HOME": "/home/me", "PATH": "/bin", "SECRET": "x", "PERDURE_JOB_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    folder.put("a.toml", b'workdir = "runs"\n' + GOOD.encode())
    folder.work()
    (submission,) = folder.service.submitted
    assert submission.workdir == "/home/me/runs"
    assert submission.env == {"HOME": "/home/me", "PATH": "/bin"}


# Rejected -------------------------------------------------------------------------------------------------------------


def test_a_wrong_spec_is_rejected_with_every_reason_beside_it(folder: Folder) -> None:
    folder.put("bad.toml", b"command = 3\nkeeep = 1\n")
    folder.work()
    reason = folder.rejected["bad.toml"]
    assert "line 1: command" in reason
    assert "line 2: keeep" in reason
    assert (folder.directory / "rejected" / "bad.toml").read_bytes() == b"command = 3\nkeeep = 1\n"


BAD = {
    "not UTF-8": b"\xff\xfe",
    "too large": b"#" * (MAX_SPEC + 1),
    "not TOML": b"command = ",
    "empty": b"",
    "a NUL": b'command = ["a\\u0000"]',
    "a place with a NUL": b'command = ["a"]\nworkdir = "\\u0000"',
    "too deep": b"command = " + b"[" * 10_000,
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_whatever_is_wrong_the_next_one_is_submitted(folder: Folder, content: bytes) -> None:
    folder.put("a.toml", content)
    folder.put("b.toml", named("b"))
    folder.work()
    assert list(folder.rejected) == ["a.toml"]
    assert folder.rejected["a.toml"].strip()
    assert folder.names == ["b"]


def test_a_pipe_that_is_called_a_spec_is_rejected_without_waiting_for_who_writes(folder: Folder) -> None:
    os.mkfifo(folder.directory / "a.toml")
    folder.put("b.toml", named("b"))
    folder.work()
    assert "cannot be read" in folder.rejected["a.toml"]
    assert folder.names == ["b"]


def test_a_folder_that_is_called_a_spec_is_rejected(folder: Folder) -> None:
    (folder.directory / "a.toml").mkdir()
    folder.put("b.toml", named("b"))
    folder.work()
    assert "cannot be read" in folder.rejected["a.toml"]
    assert folder.names == ["b"]


@pytest.mark.parametrize("target", ["nowhere", "a.toml"])
def test_a_link_that_leads_nowhere_is_rejected(folder: Folder, target: str) -> None:
    (folder.directory / "a.toml").symlink_to(target)
    folder.put("b.toml", named("b"))
    folder.work()
    assert "cannot be read" in folder.rejected["a.toml"]
    assert folder.names == ["b"]


@pytest.mark.parametrize(
    "name", [b"x" * 250 + b".toml", "ü".encode() * 120 + b".toml", b"\xff\xfe.toml", b"-.toml", b".toml"]
)
@pytest.mark.parametrize("content", [GOOD.encode(), b"\xff"], ids=["good", "bad"])
def test_whatever_its_name_a_spec_is_taken_once(folder: Folder, name: bytes, content: bytes) -> None:
    """One too long to be moved under a longer one was submitted again and again."""
    (folder.directory / os.fsdecode(name)).write_bytes(content)
    folder.put("b.toml", named("b"))
    folder.work()
    folder.work()
    assert len(folder.names) + len(folder.rejected) == 2


class Killed(BaseException):
    """The daemon's end, at this point."""


POINTS = range(1, 9)


def _kill_at(point: int, monkeypatch: pytest.MonkeyPatch, folder: Folder) -> None:
    """The process ends before or after each effect of the spool, numbered in order."""
    passed = 0

    def pass_point() -> None:
        nonlocal passed
        passed += 1
        if passed == point:
            raise Killed

    def guard(act: Callable[..., object]) -> Callable[..., object]:
        def guarded(*args: object, **named: object) -> object:
            pass_point()
            found = act(*args, **named)
            pass_point()
            return found

        return guarded

    submit = folder.service.submit_text

    async def submit_text(*args: Any, **named: Any) -> object:
        pass_point()
        found = await submit(*args, **named)
        pass_point()
        return found

    monkeypatch.setattr(folder.service, "submit_text", submit_text)
    for name in ("rename_noreplace", "write_file"):
        monkeypatch.setattr(spool_module, name, guard(getattr(spool_module, name)))


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(("content", "kept"), [(GOOD.encode(), "accepted"), (b"command = 3", "rejected")])
def test_killed_anywhere_a_spec_ends_in_one_place_and_is_one_job(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, point: int, content: bytes, kept: str
) -> None:
    folder.put("a.toml", content)
    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        _kill_at(point, patch, folder)
        folder.work()
    folder.work()
    assert (folder.accepted, list(folder.rejected)) == ((["a.toml"], []) if kept == "accepted" else ([], ["a.toml"]))
    assert len(folder.service.jobs) == (kept == "accepted")


def test_what_the_service_refuses_is_rejected_in_its_words(folder: Folder) -> None:
    folder.service.failure = WrongState("Not now.", "Another job writes there.", "Wait.")
    folder.put("a.toml")
    folder.work()
    assert folder.rejected == {"a.toml": "Not now.\nAnother job writes there.\nWait.\n"}


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), sqlite3.OperationalError("database or disk is full")]
)
def test_what_the_disk_refuses_is_left_and_submitted_when_something_else_arrives(
    folder: Folder, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The spec is not to blame, and the disk that is full has no room for a reason."""
    folder.service.failure = failure
    folder.put("a.toml", named("a"))
    folder.work(lambda: "left in the spool" in caplog.text)
    assert len(folder.waiting) == 1
    folder.service.failure = None
    folder.work(lambda: len(folder.accepted) == 2, lambda: folder.put("b.toml", named("b")))
    assert sorted(map(str, folder.names)) == ["a", "b"]


def test_nothing_that_was_rejected_before_is_overwritten(folder: Folder) -> None:
    for content in (b"first = 1", b"second = 2", b"third = 3"):
        folder.put("a.toml", content)
        folder.work()
    rejected = {path.name: path.read_bytes() for path in (folder.directory / "rejected").glob("*.toml")}
    assert rejected == {"a.toml": b"first = 1", "2-a.toml": b"second = 2", "3-a.toml": b"third = 3"}
    assert "third" in folder.rejected["3-a.toml"]


def test_nobody_else_may_read_what_lies_there(folder: Folder) -> None:
    folder.work()
    for name in ("accepted", "rejected"):
        assert (folder.directory / name).stat().st_mode & 0o777 == 0o700
