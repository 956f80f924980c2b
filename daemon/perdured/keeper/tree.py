"""Ends all that an attempt has started, however it tried to get away.

The keeper is a subreaper: whoever of its descendants loses their parent becomes the keeper's own child. So it is enough
to kill *direct children*, again after each death, until there are none: every escapee (setsid, double fork, another
process group) surfaces. A child that was not reaped keeps its PID, so no stranger can be hit, and a stopped process
dies of SIGKILL like any other. A cgroup, where there is one, makes it one blow.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Collection

from .identity import observe_process

_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(number)}")


def has_children(but: Collection[int] = ()) -> bool:
    """True while there is a child, a zombie included; or, `but` some, a living one beside those."""
    if but:
        return bool(list_children() - set(but))
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def reap_all(keep: int | None = None) -> None:
    """Collects the dead children, except `keep`, whose exit must be recorded first."""
    while True:
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if dead is None or dead.si_pid in (0, keep):
            return
        os.waitpid(dead.si_pid, 0)


def list_children() -> set[int]:
    """The PIDs of living direct children."""
    own = os.getpid()
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    seen = ((pid, observe_process(pid)) for pid in pids)
    return {pid for pid, process in seen if process is not None and process.parent == own and process.is_alive}


def kill_children(but: Collection[int] = ()) -> set[int]:
    """SIGKILL to each living direct child; returns their PIDs. One that became another user's is waited for instead."""
    children = list_children() - set(but)
    for pid in children:
        with contextlib.suppress(PermissionError):
            os.kill(pid, signal.SIGKILL)
    return children
