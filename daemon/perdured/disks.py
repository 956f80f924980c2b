"""Looks at disks from threads, so that one that hangs (a dead NFS server, a sick device) holds up only who needs it.

A thread that waits for such a disk cannot be ended, only left behind. So each mount has at most `PER_MOUNT` threads and
each place at most `PER_PLACE`; who comes when these are used up waits without one. Other mounts have their own. The
threads are daemon threads: the end of the process does not wait for a disk that will never answer.

The mount is found by the text of the path, from the kernel's table: asking the path itself would be the first to hang.
Known limit: through a symbolic link a place is counted to the mount of the link.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from .core.mounts import FileSystem, find_file_system, parse_mounts
from .errors import DiskSilent
from .tasks import finish_within

PER_MOUNT = 16
PER_PLACE = 2
MOUNTS = Path("/proc/self/mountinfo")

T = TypeVar("T")


class Disks:
    """Of one event loop."""

    def __init__(self) -> None:
        self._busy: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def touch(self, place: Path, look: Callable[[], T], within: float | None = None) -> T:
        """What `look`, which may wait for the disk of `place`, returns. Raises DiskSilent after `within` seconds."""
        try:
            return await finish_within(self._touch(place, look), within)
        except asyncio.TimeoutError:
            raise DiskSilent(
                f"The disk of {place} does not answer.",
                f"Nothing came from it within {within:g} s.",
                "Look at that file system (`df`, `dmesg`). Running jobs go on.",
            ) from None

    async def _touch(self, place: Path, look: Callable[[], T]) -> T:
        keys = {f"place {place}": PER_PLACE, f"mount {find_mount(place)}": PER_MOUNT}
        held: list[str] = []
        release = partial(self._release, held)
        try:
            for key, limit in keys.items():
                await self._take(key, limit)
                held.append(key)
        except asyncio.CancelledError:
            release()
            raise
        try:
            answer = self._start(look, release)
        except RuntimeError as error:
            release()
            raise OSError(errno.EAGAIN, f"no thread could be started: {error}") from None
        return await answer

    def _start(self, look: Callable[[], T], release: Callable[[], None]) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(act: Callable[[], None]) -> None:
            release()
            if not answer.done():
                act()

        def run() -> None:
            try:
                found = look()
            except BaseException as error:  # noqa: BLE001 - handed to who waits for the answer
                failure = error
                tell(lambda: answer.set_exception(failure))
            else:
                tell(lambda: answer.set_result(found))

        def tell(act: Callable[[], None]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile: nobody waits any more
                loop.call_soon_threadsafe(settle, act)

        threading.Thread(target=run, name="disk", daemon=True).start()
        return answer

    async def _take(self, key: str, limit: int) -> None:
        """In the order in which they came; whoever is let in is woken alone, or thousands would wake for each."""
        if self._busy[key] < limit:
            self._busy[key] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release([key])  # it had been let in at that moment
            raise

    def _release(self, keys: Iterable[str]) -> None:
        """Whoever waits longest takes over the place; else there is one more."""
        for key in keys:
            turn = self._find_next(key)
            if turn is not None:
                turn.set_result(None)
            elif self._busy[key] > 1:
                self._busy[key] -= 1
            else:
                del self._busy[key]

    def _find_next(self, key: str) -> asyncio.Future[None] | None:
        waiting = self._waiting.get(key, deque())
        while waiting:
            turn = waiting.popleft()
            if not turn.done():  # else nobody waits any more
                return turn
        self._waiting.pop(key, None)
        return None


def find_mount(place: Path) -> str:
    """The mount point of a path, by its text."""
    found = observe_file_system(place)
    return found.point if found is not None else "/"


def observe_file_system(place: Path) -> FileSystem | None:
    """The one that a path is on, by its text: the disk itself is not asked. None where the kernel tells none."""
    try:
        text = os.fsdecode(MOUNTS.read_bytes())
    except OSError:
        return None
    return find_file_system(_parse(text), os.path.abspath(place))


@lru_cache(maxsize=2)
def _parse(text: str) -> tuple[FileSystem, ...]:
    """It changes seldom, and is asked for at each touch."""
    return tuple(parse_mounts(text))
