"""Opens a state directory: the kernel's lock first, then the registry, rebuilt from the disk where it was lost."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from perdured.clock import Clock
from perdured.contract.durable import make_directories
from perdured.errors import PerdureError

from .paths import StateDir
from .rebuild import rebuild_registry
from .registry import Registry, open_registry

LONGEST_PATH = 500
"""Bytes. SQLite's own limit is 512, and its journal's name is longer than the database's."""

_log = logging.getLogger("perdured")


class AlreadyHeld(PerdureError):
    """Another process works on this state directory."""


@contextmanager
def open_state(root: Path, clock: Clock) -> Iterator[tuple[StateDir, Registry]]:
    """The state directory, locked for this process until the end of the block. Raises AlreadyHeld or StateTooNew."""
    state = StateDir(root.absolute())
    _refuse_long_path(state)
    _make_root(state)
    lock = _take_lock(state)
    try:
        registry = _open_registry(state, clock)
        try:
            yield state, registry
        finally:
            registry.close()
    finally:
        os.close(lock)


def _refuse_long_path(state: StateDir) -> None:
    length = len(os.fsencode(state.registry))
    if length > LONGEST_PATH:
        raise PerdureError(
            f"The path of the state directory is too long: {state.root}",
            f"The path of {state.registry.name} in it has {length} bytes, and SQLite opens at most {LONGEST_PATH}.",
            "Choose a shorter one with --state-dir or PERDURE_STATE_DIR.",
        )


def _make_root(state: StateDir) -> None:
    try:
        make_directories(state.root.parent)
        make_directories(state.jobs, mode=0o700)
    except OSError as error:
        todo = "Choose another with --state-dir or PERDURE_STATE_DIR, or change its permissions."
        why = f"{error.strerror}: {error.filename}"
        raise PerdureError(f"The state directory {state.root} cannot be made.", why, todo) from None


def _take_lock(state: StateDir) -> int:
    """A kernel lock, not a pid file: it is gone with its holder, however that died."""
    fd = os.open(state.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise AlreadyHeld(
            f"The state directory {state.root} is in use.",
            f"Process {holder} holds its lock; two at once could start a job twice.",
            "Use that one (`perdure ps` talks to it), end it first, or choose another --state-dir.",
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _open_registry(state: StateDir, clock: Clock) -> Registry:
    registry, aside = open_registry(state.registry)
    if aside is not None:
        _log.warning("it is kept as %s, and made anew from %s", aside, state.jobs)
    if not registry.is_complete:
        count = rebuild_registry(registry, state, clock())
        registry.mark_complete()
        if count:
            _log.warning("found %d jobs again on the disk", count)
    return registry
