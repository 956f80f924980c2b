"""Keeps an upload below so many bytes a second, and tells twice a second how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable

from perdured.clock import Clock

from .orders import Moving

TELL_EVERY = 0.5


class Pace:
    def __init__(self, clock: Clock, limit: int | None, tell: Callable[[Moving], None]) -> None:
        self._clock = clock
        self._limit = limit
        self._tell = tell
        self._hurry = threading.Event()
        self._free_at = clock()
        self._told_at = 0.0
        self._now = Moving(step=0, done=0, total=0)

    def hurry(self) -> None:
        """From now on without a limit. From any thread."""
        self._hurry.set()

    def begin(self, step: int, total: int) -> None:
        self._now = Moving(step=step, done=0, total=total)
        self._told_at = 0.0
        self.note(0)

    def note(self, count: int) -> None:
        """So many bytes are done."""
        done = min(self._now.done + count, self._now.total)  # what is sent anew is not done twice
        self._now = self._now.model_copy(update={"done": done})
        if self._clock() - self._told_at >= TELL_EVERY:
            self._told_at = self._clock()
            self._tell(self._now)

    def spend(self, count: int) -> None:
        """Waits until so many bytes may go."""
        if self._limit is None:
            return
        wait = self._free_at - self._clock()
        if wait > 0:
            self._hurry.wait(wait)
        self._free_at = max(self._free_at, self._clock()) + count / self._limit
