"""Record locks on whole files (fcntl(2)), of a process or of an open file: taken, and asked after.

To ask takes nothing, so whoever looks never stands in the way of who is about to take the lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

_FLOCK = "hhqqi4x"
"""`struct flock` on 64-bit Linux: l_type, l_whence, l_start, l_len (0: to the end), l_pid."""
WHOLE_FILE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def lock_file(descriptor: int) -> bool:
    """Lock the whole file for as long as it is open; False where another open file has it locked. Errors: OSError."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, WHOLE_FILE)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def find_lock_holder(descriptor: int, ask: int) -> int | None:
    """The pid of who keeps us from locking the file; None when nobody does.

    `ask` is F_GETLK or F_OFD_GETLK. The pid is -1 of a lock that belongs to an open file, and 0 when it is of another
    PID namespace. Errors: OSError.
    """
    kind, _whence, _start, _length, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, ask, WHOLE_FILE))
    return None if kind == fcntl.F_UNLCK else pid
