"""One thread that waits for descriptors and for times, and does nothing in between: no ticks."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
URGENT = select.EPOLLPRI

_LONGEST_WAIT = 60.0
"""epoll's timeout stands still while the machine is suspended, CLOCK_BOOTTIME does not; so while a time is waited for,
it is looked at once a minute. Without one, the wait has no end."""


def read_clock() -> float:
    """Seconds since boot, suspended ones included: no step of the wall clock moves a deadline."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Loop:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[int], object]] = {}
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}
        self._is_stopped = False

    def watch(self, fd: int, events: int, callback: Callable[[int], object]) -> None:
        """Calls `callback` with the events seen, at each turn in which there are some (level-triggered)."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def rewatch(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """To be called before `fd` is closed."""
        del self._callbacks[fd]
        self._epoll.unregister(fd)

    def call_at(self, name: str, when: float, callback: Callable[[], None]) -> None:
        """Calls once, at `when` on `read_clock`. A second call with the same name replaces the first."""
        self._timers[name] = (when, callback)

    def cancel(self, name: str) -> None:
        self._timers.pop(name, None)

    def is_waiting(self, name: str) -> bool:
        return name in self._timers

    def stop(self) -> None:
        self._is_stopped = True

    def run(self) -> None:
        while not self._is_stopped:
            for fd, events in self._epoll.poll(self._find_timeout()):
                callback = self._callbacks.get(fd)
                if callback is not None:
                    callback(events)
            self._call_due()

    def close(self) -> None:
        self._epoll.close()

    def _find_timeout(self) -> float | None:
        """Seconds, for epoll, which rounds up: a timer is never called early and then again."""
        if not self._timers:
            return None
        first = min(when for when, _ in self._timers.values())
        return max(0.0, min(first - read_clock(), _LONGEST_WAIT))

    def _call_due(self) -> None:
        now = read_clock()
        for name, (when, callback) in sorted(self._timers.items(), key=lambda item: item[1][0]):
            if when <= now and self._timers.get(name) == (when, callback):
                del self._timers[name]
                callback()
