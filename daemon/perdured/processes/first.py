"""Process 1 of a container has two duties that nobody else can do, and they are all that it does here.

Whoever loses its parent becomes a child of process 1, and stays a zombie until that collects it. And a signal for which
process 1 has no handler does not reach it at all, also where it would have ended any other process. So the program runs
as a child of process 1, which passes signals on to it, collects the dead, and ends as the program does; with it the
kernel ends whatever is left in the container.

Without this a keeper that was killed would leave its job's processes to a daemon that never asked for them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from perdured.contract import exits

_served = False


def is_served() -> bool:
    """Whether this program is the one that a container was started for: its stop is the end of all around it."""
    return _served


def serve_as_first(program: Callable[[], int]) -> int:
    """Runs the program, as a child where this process is the first of its PID namespace. Its exit status."""
    if os.getpid() != 1:
        return program()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        global _served  # noqa: PLW0603 - a fact about this process, as its PID is
        _served = True
        return program()
    return _attend(child)


def _attend(child: int) -> int:
    """Every signal is blocked, and so waits here until it is asked for."""
    while True:
        number = signal.sigwait(signal.valid_signals())
        if number != signal.SIGCHLD:
            os.kill(child, number)
        elif (status := _collect(child)) is not None:
            return status


def _collect(child: int) -> int | None:
    """Of all that have died; the child's exit status when it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            found = code if code >= 0 else exits.status_of_signal(-code)
