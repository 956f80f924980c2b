"""For tests of keepers: attempts that are started for real, conditions that are waited for, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from perdured.core.observation import Ended, Exit
from perdured.keeper import records
from perdured.keeper.identity import Identity, observe_process, open_process
from perdured.keeper.lock import is_locked
from perdured.keeper.records import RunRecord
from perdured.processes import KeeperLink, KeeperStatus, Order, connect_keeper, observe_attempt, perform_clean
from perdured.processes.launch import _reap_keepers, _unreaped

CEILING = 20.0
"""Seconds until a condition that must come true is given up. Only a failure takes that long."""
T = TypeVar("T")


def wait_until(is_true: Callable[[], object], what: str = "", ceiling: float = CEILING) -> None:
    """Looks every 2 ms; for what no descriptor tells of."""
    deadline = time.monotonic() + ceiling
    while not is_true():
        assert time.monotonic() < deadline, f"not within {ceiling} s: {what or is_true}"
        time.sleep(0.002)


def run(coroutine: Coroutine[object, object, T], ceiling: float = CEILING) -> T:
    async def bounded() -> T:
        return await asyncio.wait_for(coroutine, ceiling)

    return asyncio.run(bounded())


def make_order(directory: Path, *argv: str, grace: float = 10.0, **env: str) -> Order:
    return Order(
        directory=directory,
        job="job",
        attempt=1,
        argv=argv,
        env={"PATH": os.environ["PATH"], "TEST_RUN_MARK": os.environ["TEST_RUN_MARK"], **env},
        workdir=str(directory.parent),
        stop_signal=signal.SIGTERM,
        grace=grace,
    )


def make_script(directory: Path, *lines: str, grace: float = 10.0) -> Order:
    """An attempt that runs these lines of Python; `say(*words)` prints a line at once, `stay()` waits for ever."""
    prelude = (
        "import os, signal, sys, time",
        "def say(*words): os.write(1, (' '.join(map(str, words)) + '\\n').encode())",
        "def stay():\n    while True: signal.pause()",
    )
    return make_order(directory, sys.executable, "-I", "-S", "-c", "\n".join((*prelude, *lines)), grace=grace)


def read_output(directory: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return (directory / records.OUTPUT_LOG).read_text().splitlines()
    return []


def wait_for_output(directory: Path, count: int = 1) -> list[str]:
    """The lines that the job has printed, once there are `count`."""
    wait_until(lambda: len(read_output(directory)) >= count, f"{count} lines of output")
    return read_output(directory)


def get_run(directory: Path) -> RunRecord:
    run = records.load_run(directory)
    assert run is not None
    return run


def is_alive(pid: int) -> bool:
    process = observe_process(pid)
    return process is not None and process.is_alive


def wait_for_end(directory: Path, ceiling: float = CEILING) -> Exit:
    """How the attempt ended, once its keeper has let go."""
    wait_until(lambda: not is_locked(directory / records.LOCK), "the keeper lets go", ceiling)
    seen = observe_attempt(directory)
    assert isinstance(seen, Ended), seen
    return seen.exit


def kill_keeper(directory: Path) -> None:
    """SIGKILL, and returns when the keeper is dead and collected."""
    keeper = get_run(directory).keeper
    kill_process(keeper)


def kill_process(identity: Identity) -> None:
    pidfd = open_process(identity)
    if pidfd is None:
        return
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        wait_until(lambda: not is_alive(identity.pid), "a killed process is gone")
    finally:
        os.close(pidfd)


@contextmanager
def attempt_directory(root: Path) -> Iterator[Path]:
    """The directory of an attempt that is cleared away afterwards."""
    directory = root / "attempts" / "1"
    directory.mkdir(parents=True)
    yield directory
    tidy(directory)


def tidy(directory: Path) -> None:
    """Ends whatever a test has left of its attempt."""
    if is_locked(directory / records.LOCK):
        run = records.load_run(directory)
        if run is not None:
            kill_process(run.keeper)
        wait_until(lambda: not is_locked(directory / records.LOCK), "the lock is free")
    perform_clean(directory)
    wait_until(_are_keepers_reaped, "the keepers are collected")


def _are_keepers_reaped() -> bool:
    _reap_keepers()
    return not _unreaped


class Daemon:
    """A daemon's view of one keeper: every status it was told, and whether the keeper has gone."""

    def __init__(self) -> None:
        self.statuses: list[KeeperStatus] = []
        self.is_gone = False
        self._changed = asyncio.Event()
        self._link: KeeperLink | None = None

    @property
    def link(self) -> KeeperLink:
        assert self._link is not None
        return self._link

    @property
    def last(self) -> KeeperStatus:
        return self.statuses[-1]

    async def connect(self, directory: Path, epoch: int = 0) -> Daemon:
        self._link = await connect_keeper(directory, self._take, self._lose, epoch)
        return self

    async def until(self, is_true: Callable[[], object]) -> None:
        while not is_true():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), CEILING)

    async def until_gone(self) -> None:
        await self.until(lambda: self.is_gone)

    def _take(self, status: KeeperStatus) -> None:
        self.statuses.append(status)
        self._changed.set()

    def _lose(self) -> None:
        self.is_gone = True
        self._changed.set()


class Peer:
    """A client that says whatever it likes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")

    def say(self, **message: object) -> None:
        self.send(json.dumps(message).encode() + b"\n")

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def hear(self) -> dict[str, object] | None:
        """The next message; None when the keeper has hung up."""
        try:
            line = self._file.readline()
        except ConnectionResetError:
            return None
        message = json.loads(line) if line else None
        assert message is None or isinstance(message, dict)
        return message

    def close(self) -> None:
        self._file.close()
        self._connection.close()
