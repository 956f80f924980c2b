"""Sees to it that the lock of the checkpoint directory stays where others look for it.

A lock holds a file, not a name. When somebody deletes `.keeper`, or moves it, the lock is still held and nobody meets
it: the next who comes makes a new file of that name, and two would write. So the kernel is asked to say when the file
loses its name (inotify: without a tick, and also for programs that know nothing of us), and the name is taken again at
once, under the same descriptor number, which is what the writers of the memory tier are given.

Known limits: in the moment between the two another may be faster, which is logged; a directory that was deleted as a
whole is not made anew; a writer that was forked before keeps the old file. Where the kernel gives no more watches, or
the file system tells of nothing that other machines do, the lock is as it was without this.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from perdured.contract.holding import KEEPER, DirectoryTaken, hold_directory

from .log import log
from .loop import READ, Loop

_IN_ATTRIB, _IN_MOVE_SELF, _IN_DELETE_SELF = 0x4, 0x800, 0x400
"""A file that loses its last name, and is still open, only has its attributes changed."""
_libc = ctypes.CDLL(None, use_errno=True)


class Guard:
    """`held`: the descriptor of the lock, for as long as the keeper lives. `name`: what others are told of it."""

    def __init__(self, root: Path, held: int, name: str) -> None:
        self.held = held
        self._root = root
        self._name = name
        self._events = -1

    def join(self, loop: Loop) -> None:
        self._events = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._events < 0:
            log(f"{self._root / KEEPER} is not watched: {os.strerror(ctypes.get_errno())}")
            return
        loop.watch(self._events, READ, lambda _: self._look())
        self._look()

    def _look(self) -> None:
        """The watch is set before the look, so that what comes after it is told."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._events, 64 * 1024)
        self._watch()
        if not self._is_in_place() and self._take_again():
            self._watch()

    def _watch(self) -> None:
        """Of whatever has the name now. The same file twice is one watch."""
        path = os.fsencode(self._root / KEEPER)
        _libc.inotify_add_watch(self._events, path, _IN_ATTRIB | _IN_MOVE_SELF | _IN_DELETE_SELF)

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.held), os.lstat(self._root / KEEPER))
        except FileNotFoundError:
            return not self._root.is_dir()
        except OSError:
            return True

    def _take_again(self) -> bool:
        try:
            again = hold_directory(self._root, self._name)
        except DirectoryTaken as taken:
            log(f"{self._root / KEEPER} was deleted, and {taken} was faster to take it: two may write there")
        except OSError as error:
            log(f"{self._root / KEEPER} was deleted, and cannot be made anew: {error}")
        else:
            os.dup2(again, self.held, inheritable=False)
            os.close(again)
            log(f"{self._root / KEEPER} was deleted, and is held again")
            return True
        return False
