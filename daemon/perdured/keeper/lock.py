"""The lock that says a keeper lives. The kernel releases it on any death, and no PID can be mistaken for it.

It is an open file description lock (fcntl(2), F_OFD_SETLK), not flock: F_OFD_GETLK asks who holds it without taking it,
so that looking never gets in the way of a keeper that is just starting. The descriptor is close-on-exec: a job
that inherited it would seem to be its own keeper.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

_FLOCK = "hhqqi0q"
"""struct flock on 64-bit Linux: l_type, l_whence, l_start, l_len (0: to the end), l_pid (0: for these locks)."""


def take_lock(path: str | os.PathLike[str]) -> int | None:
    """The descriptor that holds the lock until it is closed; None when another process holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole_file())
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return None
        raise
    return fd


def is_locked(path: str | os.PathLike[str]) -> bool:
    """True while a process holds the lock. Takes nothing."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _whole_file())
    finally:
        os.close(fd)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _whole_file() -> bytes:
    return struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
