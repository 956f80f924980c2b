"""Opens the arena that another process holds."""

from __future__ import annotations

import fcntl
import os
import stat

from perdured.keeper.talk import MemoryPlace

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def open_arena(place: MemoryPlace) -> int | None:
    """A descriptor of it; None where it has gone, may not be opened, or is no sealed memory of this user."""
    try:
        descriptor = os.open(f"/proc/{place.pid}/fd/{place.descriptor}", _FLAGS)
    except OSError:
        return None
    if _is_sealed_memory(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _is_sealed_memory(descriptor: int) -> bool:
    """The number was told by another process: what it opens may be anything by now."""
    status = os.fstat(descriptor)
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and bool(seals & fcntl.F_SEAL_SHRINK)
