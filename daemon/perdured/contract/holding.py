"""Who holds a directory of checkpoints, so that never two write to one.

Two locks, each for as long as its holder lives: a `perdure.Run` has a record lock on `.lock`, the keeper of an attempt
one on `.keeper`. The keeper's holds for any program, also one that writes its own files; the Run's for a training that
nobody supervises. Asked of the kernel and not tried out, so that whoever looks never stands in the way of who is about
to take them.

Known limits: a script that saves with `perdure.save` alone, and has no keeper, is not seen; nor is an attempt that
outlived its keeper, but by the daemon whose job it is. A file system without locks keeps nobody out.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from perdured.contract import durable
from perdured.contract.record_locks import find_lock_holder, lock_file

LOCK = ".lock"
KEEPER = ".keeper"

_LONGEST_NAME = 200
_WITHOUT_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


class DirectoryTaken(Exception):
    """Another keeper holds the directory; the text says which."""


def find_writer(root: Path) -> str | None:
    """Who writes checkpoints there, in words; None when nobody does, or none can tell."""
    keeper = _find_holder(root / KEEPER, fcntl.F_OFD_GETLK)
    if keeper is not None:
        return _read_name(root / KEEPER)
    holder = _find_holder(root / LOCK, fcntl.F_GETLK)
    return None if holder is None else f"process {holder}" if holder else "a process of another container"


def hold_directory(root: Path, name: str) -> int:
    """The descriptor with which a keeper holds it, until it is closed; `name` is what others are told of who does.

    Errors: DirectoryTaken; OSError where the directory takes no file.
    """
    durable.make_directories(root)
    descriptor = os.open(root / KEEPER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        _take(descriptor, root)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{name}\n".encode(errors="replace"), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _take(descriptor: int, root: Path) -> None:
    try:
        is_ours = lock_file(descriptor)
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
        return
    if not is_ours:
        raise DirectoryTaken(_read_name(root / KEEPER))


def _find_holder(path: Path, ask: int) -> int | None:
    """The process that has it locked (0 when nobody can name it); None when nobody has, or none can tell."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        holder = find_lock_holder(descriptor, ask)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if holder is None else max(holder, 0)


def _read_name(path: Path) -> str:
    """What the holder wrote of itself. A writer that has only just taken the lock may not have yet."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        name = file.read(_LONGEST_NAME).decode(errors="replace").strip()
        if name.isprintable() and name:
            return name
    return "another attempt"
