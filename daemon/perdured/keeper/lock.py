"""The lock that says a keeper lives. The kernel releases it on any death, and no PID can be mistaken for it.

It is an open file description lock (fcntl(2), F_OFD_SETLK), not flock: F_OFD_GETLK asks who holds it without taking it,
so that looking never gets in the way of a keeper that is just starting. The descriptor is close-on-exec: a job
that inherited it would seem to be its own keeper.
"""

from __future__ import annotations

import fcntl
import os

from perdured.contract.record_locks import find_lock_holder, lock_file


def take_lock(path: str | os.PathLike[str]) -> int | None:
    """The descriptor that holds the lock until it is closed; None when another process holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        is_ours = lock_file(fd)
    except OSError:
        os.close(fd)
        raise
    if not is_ours:
        os.close(fd)
        return None
    return fd


def is_locked(path: str | os.PathLike[str]) -> bool:
    """True while a process holds the lock. Takes nothing."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return find_lock_holder(fd, fcntl.F_OFD_GETLK) is not None
    finally:
        os.close(fd)
