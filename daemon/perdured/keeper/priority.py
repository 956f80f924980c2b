"""How urgently a process may use the disk: ioprio_set(2), for which neither Python nor the C library has a function."""

from __future__ import annotations

import ctypes
import os
from enum import IntEnum

_CALL = {"x86_64": 251, "aarch64": 30, "riscv64": 30}.get(os.uname().machine)
_WHO_PROCESS = 1
_CLASS_SHIFT = 13
_libc = ctypes.CDLL(None, use_errno=True)


class Priority(IntEnum):
    NORMAL = 2 << _CLASS_SHIFT | 4
    """Best effort, in the middle: what a process has that never asked."""
    IDLE = 3 << _CLASS_SHIFT
    """Only while nobody else wants the disk. Schedulers that know no priorities (`none`, `mq-deadline`) ignore it."""


def set_priority(pid: int, priority: Priority) -> None:
    """Of all threads that the process has now; those that it makes later are as the one that makes them.

    Where it cannot be set nothing happens: it would have been a courtesy.
    """
    if _CALL is None:
        return
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        _libc.syscall(_CALL, _WHO_PROCESS, int(thread), int(priority))
