"""The deputies' state directories: `users/UID` below root's own.

`users` is root's, and nobody else can make, move or replace anything in it; so root may make a directory there for a
user and give it away. From then on it is the user's, and root only looks at the entry itself, never through it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from perdured.contract.durable import fsync_directory, make_directories
from perdured.core.account import Account
from perdured.errors import PerdureError

_ENTERED_BY_ALL = 0o711
"""Gone through by everybody, and listed by nobody else."""


def open_homes(state_root: Path) -> Path:
    """The directory of them, with a way to it. Errors: OSError."""
    homes = state_root / "users"
    make_directories(homes, mode=_ENTERED_BY_ALL)
    for directory in (state_root, homes):
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) | stat.S_IXGRP | stat.S_IXOTH)
    return homes


def make_home(homes: Path, account: Account) -> Path:
    """Errors: OSError, PerdureError."""
    home = homes / str(account.uid)
    try:
        os.mkdir(home, 0o700)
    except FileExistsError:
        _refuse_foreign(home, account)
        return home
    os.chown(home, account.uid, account.gid, follow_symlinks=False)
    fsync_directory(homes)
    return home


def list_homes(homes: Path) -> Iterator[int]:
    """Whose there are, by user id."""
    for entry in sorted(homes.iterdir()):
        if entry.name.isdecimal() and entry.lstat().st_uid == int(entry.name):
            yield int(entry.name)


def _refuse_foreign(home: Path, account: Account) -> None:
    """Also one that was made, and not given away before a crash: root's, and empty, it is taken up."""
    status = home.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == 0:
        os.chown(home, account.uid, account.gid, follow_symlinks=False)
    elif not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid:
        why = f"It belongs to user {status.st_uid}."
        raise PerdureError(f"{home} is not the directory of {account.name}.", why, "Root should look at it.")
