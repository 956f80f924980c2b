"""SIGTERM and the first SIGINT ask to stop. The handler sets a flag and does nothing else.

A save inside a handler would see the model in the middle of an update, and would run inside whatever the interpreter
was just doing. So the flag is looked at between steps.

A second SIGINT is a person who does not want to wait: it raises KeyboardInterrupt, as it would without Perdure.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from perdure.channel import read_clock
from perdured.contract import environment

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class StopFlag:
    """Set by a signal, once installed. Handlers belong to the main thread; elsewhere `install` does nothing."""

    def __init__(self, signals: tuple[signal.Signals, ...] = _STOPPING) -> None:
        self.signal: signal.Signals | None = None
        self.deadline: float | None = None
        """When whoever sent it will kill, on the channel's clock; None where nobody says."""
        self._signals = signals
        self._before: dict[signal.Signals, object] = {}

    def is_set(self) -> bool:
        return self.signal is not None

    def install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in self._signals:
            # A shell starts what it puts in the background with SIGINT ignored: that stays as it is.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._set)

    def restore(self, *, but: signal.Signals | None = None) -> None:
        """Put the former handlers back; `but` keeps this one."""
        for number, handler in self._before.items():
            if number is not but and signal.getsignal(number) == self._set:
                signal.signal(number, handler)  # type: ignore[arg-type]  # None, a handler set in C, never gets here
        self._before.clear()

    def _set(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  the signature is Python's
        if number == signal.SIGINT and self.signal is signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        self.deadline = self.deadline or _find_deadline()


def _find_deadline() -> float | None:
    """The keeper counts its grace from the signal."""
    try:
        return read_clock() + float(os.environ[environment.GRACE_SECONDS])
    except (KeyError, ValueError):
        return None
