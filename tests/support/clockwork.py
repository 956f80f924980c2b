"""asyncio's own loop, on the clock of a model: nothing waits, and time passes when the model says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

_MOST_TURNS = 20_000

T = TypeVar("T")


class Clockwork(asyncio.SelectorEventLoop):
    def __init__(self, read_clock: Callable[[], float]) -> None:
        self._read_clock = read_clock
        super().__init__()

    def time(self) -> float:
        return self._read_clock()

    def settle(self) -> None:
        """Until nothing is left that could be done now."""
        for _ in range(_MOST_TURNS):
            self.call_soon(self.stop)
            self.run_forever()
            if not self._ready and not self._is_due():  # type: ignore[attr-defined]
                return
        raise AssertionError("it never comes to rest: something is done again and again")

    def next_timer(self) -> float | None:
        timers = (timer.when() for timer in self._scheduled if not timer.cancelled())  # type: ignore[attr-defined]
        return min(timers, default=None)

    def _is_due(self) -> bool:
        when = self.next_timer()
        return when is not None and when <= self.time()


async def at_once(function: Callable[..., T], *arguments: Any) -> T:
    """What `asyncio.to_thread` is where there are no threads."""
    await asyncio.sleep(0)
    return function(*arguments)
