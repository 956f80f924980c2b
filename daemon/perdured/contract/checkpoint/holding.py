"""Who holds a directory of checkpoints: a `perdure.Run` has a record lock on its `LOCK` for as long as it lives.

Asked of the kernel and not tried out, so that whoever looks never stands in the way of who is about to take it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from perdured.contract.checkpoint.layout import LOCK
from perdured.contract.record_locks import find_lock_holder


def find_holder(root: Path) -> int | None:
    """The process that holds it (0 when it is of another PID namespace); None when nobody does, or none can tell."""
    try:
        descriptor = os.open(root / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        holder = find_lock_holder(descriptor, fcntl.F_GETLK)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if holder is None else max(holder, 0)
