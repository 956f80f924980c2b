"""Until when an attempt may run, where its job is leased: no daemon and no network is needed to end it in time.

The time is one of CLOCK_BOOTTIME. So early before it as the attempt is given to save, it is asked to end; what is left
of it at that time is killed. A daemon that renews the lease moves the time on, and takes nothing back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from perdured.contract import messages

from .loop import Loop, read_clock
from .records import Leash, parse_leash
from .talk import StopAsked


class Leashed:
    def __init__(self, loop: Loop, leash: Leash | None, signal: int, accept: Callable[[StopAsked], None]) -> None:
        """`accept` is told of the stop, by `signal`, when the time has come."""
        self._loop = loop
        self._leash = leash
        self._signal = signal
        self._accept = accept
        self._wait()

    def hear(self, message: Mapping[str, object]) -> None:
        """From the daemon; ValueError for what is no such message."""
        told = parse_leash(message)
        if self._leash is None or told.until > self._leash.until:
            self._leash = told
            self._wait()

    def _wait(self) -> None:
        if self._leash is not None:
            self._loop.call_at("leash", self._leash.until - self._leash.grace, self._end)

    def _end(self) -> None:
        assert self._leash is not None
        grace = max(self._leash.until - read_clock(), 0.0)
        self._accept(StopAsked(messages.LEASE, self._signal, grace))
