"""On a signal, this process writes what each of its threads is doing into a file beside its keeper's socket.

That is how one learns where a process hangs before it is killed. Python's faulthandler does it in the signal handler,
in C, so it answers even while the main thread is stuck in a C call or waits for a lock for ever.

The signal is a real-time one which hardly any program uses. It is left alone where the program has given it a meaning
before; who gives it one later has it, too: the keeper's side looks whether the signal is caught before it is sent.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import threading
from pathlib import Path
from typing import TextIO

from perdure.channel import Channel
from perdured.contract import environment, messages

SIGNAL = signal.SIGRTMIN + 9
_open: list[TextIO] = []  # faulthandler writes to the descriptor: the file must live as long as the process


def register_stacks(channel: Channel) -> None:
    """Does nothing where there is no keeper, no main thread, or another use of the signal."""
    path = os.environ.get(environment.CHANNEL)
    if path is None or not channel.is_open or threading.current_thread() is not threading.main_thread():
        return
    if not _open:
        if signal.getsignal(SIGNAL) is not signal.SIG_DFL:
            return
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            _open.append(_open_log(Path(path).with_name(messages.STACKS_LOG)))
            faulthandler.register(SIGNAL, file=_open[0], all_threads=True)
    if _open:
        channel.send({"type": messages.STACKS, "signal": int(SIGNAL)})


def _open_log(path: Path) -> TextIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "w")
