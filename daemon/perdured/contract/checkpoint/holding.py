"""Who holds a directory of checkpoints: a `perdure.Run` has a record lock on its `LOCK` for as long as it lives.

Asked of the kernel and not tried out, so that whoever looks never stands in the way of who is about to take it.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from perdured.contract.checkpoint.layout import LOCK

_FLOCK = "hhqqi4x"
"""`struct flock` of fcntl(2): type, whence, start, length, pid."""


def find_holder(root: Path) -> int | None:
    """The process that holds it (0 when it is of another PID namespace); None when nobody does, or none can tell."""
    try:
        descriptor = os.open(root / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _whence, _start, _length, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else max(pid, 0)
