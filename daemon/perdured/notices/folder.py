"""The folder of notices: whoever cannot speak to the daemon can write a file there.

A file is renamed into place, or written and closed; what is written slowly is looked at again before it counts as
unreadable. The kernel tells of changes at once; a look each second is for file systems on which it does not (NFS), and
for a folder that is made, or taken away, later.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from perdured.contract.durable import make_directories
from perdured.core.notices.answer import Failed, Look
from perdured.core.notices.folder import File, is_notice_file, make_unread, parse_file
from perdured.core.notices.notice import RAW_LIMIT, Notice, SourceName
from perdured.watching import Watcher

from .eyes import Eyes, Tell
from .parts import Kind, Part, watch_parts

EVERY = 1.0
WRITTEN_WITHIN = 2.0
"""Seconds that a file may take to become readable."""


class Folder:
    name: SourceName = "folder"

    def __init__(self, path: Path, eyes: Eyes) -> None:
        self._path = path
        self._eyes = eyes
        self._part = Part("files", EVERY, self._look)
        self._watcher = Watcher()
        self._is_watched = False

    async def watch(self, tell: Tell) -> None:
        try:
            await watch_parts(Kind(self.name, lambda: f"files in {self._path}"), [self._part], tell, self._eyes.haste)
        finally:
            self._watcher.close()

    async def _look(self) -> tuple[Notice, ...]:
        try:
            self._prepare()
            files = list(_read_files(self._path))
        except OSError as error:
            self._is_watched = False
            raise Failed(f"the folder {self._path} cannot be read: {error.strerror}") from None
        look = self._eyes.look()
        read = (_read_notice(file, look) for file in files)
        return tuple(notice for notice in read if notice is not None)

    def _prepare(self) -> None:
        """The folder is made, and watched, again if it was taken away."""
        if not self._path.is_dir():
            self._is_watched = False
            make_directories(self._path, mode=0o700)
        if not self._is_watched:
            loop, wake = asyncio.get_running_loop(), self._part.wake.set
            self._is_watched = self._watcher.watch(
                self._path, lambda: loop.call_soon_threadsafe(wake), also_removals=True
            )


def _read_files(folder: Path) -> Iterator[File]:
    """One that went away meanwhile is none; one that may not be read is one all the same."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not is_notice_file(entry.name):
            continue
        try:
            status = entry.stat()
            if stat.S_ISREG(status.st_mode):
                yield File(entry.name, _read_text(Path(entry.path)), status.st_mtime)
        except FileNotFoundError:
            continue


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4 * RAW_LIMIT).decode(errors="replace")
    except FileNotFoundError:
        raise
    except OSError as error:
        return f"({error.strerror})"


def _read_notice(file: File, look: Look) -> Notice | None:
    try:
        return parse_file(file, look)
    except Failed as failed:
        is_young = abs(look.at - file.written_at) < WRITTEN_WITHIN
        return None if is_young else make_unread(file, look, failed.why)
