"""Tries a directory out: writes, syncs, locks, renames, and how fast. What it makes there it removes again.

A network file system whose server is away never answers, and a thread that waits for it cannot be ended. So each look
has a thread of its own, which is left behind after `WITHIN` seconds and does not keep the process alive.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from perdured.clock import read_uptime
from perdured.contract import durable
from perdured.core.doctor.file_systems import Probe, Room

WITHIN = 10.0
SILENT = Probe(error=f"It did not answer within {WITHIN:g} s: its server or its device may be away.")
_BLOCK = os.urandom(1 << 20)
"""Not zeros, which some disks do not write."""
_MOST_BLOCKS = 256
_ENOUGH = 1.0
"""Seconds of writing, from which the speed is reckoned."""

T = TypeVar("T")


def with_patience(look: Callable[[], T], otherwise: T) -> T:
    """What `look` returns, or `otherwise` when it takes too long."""
    found: list[T] = []
    thread = threading.Thread(target=lambda: found.append(look()), daemon=True)
    thread.start()
    thread.join(WITHIN)
    return found[0] if found else otherwise


def find_existing(path: Path) -> Path:
    """The directory itself, or the nearest one above that is there."""
    return next((each for each in (path, *path.parents) if each.is_dir()), Path("/"))


def observe_room(directory: Path) -> Room:
    seen = os.statvfs(directory)
    return Room(seen.f_bavail * seen.f_frsize, seen.f_favail if seen.f_files else None)


def probe(directory: Path) -> Probe:
    mine = directory / f".perdure-doctor-{durable.make_token()}"
    try:
        durable.write_file(mine, b"perdure doctor\n")
        return Probe(locks=_try_locks(mine), syncs=_try_sync(mine), renames=_try_rename(mine))
    except OSError as error:
        return Probe(error=f"{error.strerror or error}.")
    finally:
        for path in (mine, _other(mine)):
            with contextlib.suppress(OSError):
                path.unlink()


def measure_speed(directory: Path) -> float | None:
    """Bytes a second that reach the disk; None where nothing can be written."""
    path = directory / f".perdure-doctor-{durable.make_token()}"
    written = 0
    began = read_uptime()

    def fill(descriptor: int) -> None:
        nonlocal written
        while written < _MOST_BLOCKS * len(_BLOCK) and read_uptime() - began < _ENOUGH:
            durable.write_all(descriptor, _BLOCK)
            written += len(_BLOCK)

    try:
        durable.create_filled(path, fill)
        return written / max(read_uptime() - began, 1e-6)
    except OSError:
        return None
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _other(path: Path) -> Path:
    return path.with_name(f"{path.name}-2")


def _try_locks(path: Path) -> bool:
    """Two descriptors of one file are two holders for flock, also in one process."""
    descriptors = [os.open(path, os.O_RDWR | os.O_CLOEXEC) for _ in range(2)]
    try:
        return durable.try_lock(descriptors[0]) and not durable.try_lock(descriptors[1])
    except OSError:
        return False
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _try_sync(path: Path) -> bool:
    try:
        durable.fsync_directory(path.parent)
    except OSError:
        return False
    return True


def _try_rename(path: Path) -> bool:
    durable.write_file(_other(path), b"")
    try:
        durable.rename_noreplace(path, _other(path))
    except FileExistsError:
        return True
    except OSError:
        return False
    return False
