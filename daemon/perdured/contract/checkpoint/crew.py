"""Several threads that do tasks of one kind. What they do lets go of Python's lock: reading, checksums, large copies.

The caller is one of them, so nothing is lost where no thread can be started; and a thread has the I/O priority of the
one that started it, so work in the background stays there. Tasks are begun in their order. The first error ends the
work of all, and is raised when all have stopped: nobody writes to anybody's memory after that.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

READERS = 4
"""Reads under way at a time: the disk has the next ones while one is checksummed."""

T = TypeVar("T")


def do_all(tasks: Iterable[T], do: Callable[[T], object], crew: int = READERS) -> None:
    """`do` every task. Errors: what `do` raises, and what `tasks` does."""
    _Work(tasks, do).share_among(crew)


class _Work(Generic[T]):
    def __init__(self, tasks: Iterable[T], do: Callable[[T], object]) -> None:
        self._tasks = iter(tasks)
        self._do = do
        self._turn = threading.Lock()
        self._error: BaseException | None = None

    def share_among(self, crew: int) -> None:
        threads: list[threading.Thread] = []
        try:
            with contextlib.suppress(RuntimeError):  # no more threads can be had; it goes on with those there are
                for _ in range(crew - 1):
                    thread = threading.Thread(target=self._work, name="perdure-reader", daemon=True)
                    thread.start()
                    threads.append(thread)
            self._work()
        except BaseException as error:  # noqa: BLE001  a signal of the caller; raised again when all have stopped
            self._error = error
        for thread in threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while self._error is None:
                with self._turn:
                    task = next(self._tasks)
                self._do(task)
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001  raised again by `share_among`
            self._error = error
