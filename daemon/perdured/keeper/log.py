"""`keeper.log`: stderr of the keeper. Bounded, because a client that misbehaves for weeks must not fill the disk."""

from __future__ import annotations

import os
import sys
import time

_MAX_BYTES = 256 * 1024


def log(text: str) -> None:
    _write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")


def log_failure(doing: str) -> None:
    """The exception under way, with its traceback."""
    log(f"failed while {doing}")
    kind, error, traceback = sys.exc_info()
    if kind is not None and error is not None:
        sys.excepthook(kind, error, traceback)


def _write(text: str) -> None:
    try:
        if os.fstat(2).st_size < _MAX_BYTES:
            sys.stderr.write(text)
            sys.stderr.flush()
    except OSError:
        # A full disk must not end the keeper.
        return
