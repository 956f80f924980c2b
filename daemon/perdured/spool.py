"""The spool: a spec that is renamed (or written) into the folder is submitted, then moved to `accepted/`, or to
`rejected/` with the reason in a file beside it. For cron, for scp, for anything that can only write files.

A relative workdir starts at the home of the daemon's user; the environment is that user's bare one (HOME, PATH …),
since there is no submitter's shell to capture.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
from pathlib import Path

from .contract.durable import make_directories, rename_noreplace, write_file
from .errors import BadUsage, PerdureError
from .state.submission import parse_submission
from .supervise.service import Service
from .watching import Watcher

_log = logging.getLogger("perdured")

MAX_SPEC = 1 << 20
_BARE = ("HOME", "USER", "LOGNAME", "PATH", "LANG", "LC_ALL", "SHELL", "TMPDIR")


class Spool:
    def __init__(self, directory: Path, service: Service) -> None:
        self._directory = directory
        self._service = service
        self._watcher = Watcher()
        self._look_again = asyncio.Event()

    async def run(self) -> None:
        """Submits what is there, then whatever arrives, until cancelled."""
        for name in ("", "accepted", "rejected"):
            make_directories(self._directory / name, mode=0o700)
        loop = asyncio.get_running_loop()
        self._watcher.watch(self._directory, lambda: loop.call_soon_threadsafe(self._look_again.set))
        try:
            while True:
                self._look_again.clear()
                for path in sorted(self._directory.glob("*.toml")):
                    await self._take(path)
                await self._look_again.wait()
        finally:
            self._watcher.close()

    async def _take(self, path: Path) -> None:
        """What is wrong with the spec is told beside it. What is wrong with the disk leaves it where it is."""
        try:
            await self._submit(path)
        except FileNotFoundError:
            _log.info("%s went away before it was read", path)
        except (OSError, sqlite3.Error) as error:
            _log.error("%s is left in the spool until something else arrives: %s", path, error)

    async def _submit(self, path: Path) -> None:
        try:
            text = _read_spec(path)
            env = {name: os.environ[name] for name in _BARE if name in os.environ}
            job = await self._service.submit(parse_submission(text, workdir=Path.home(), env=env))
        except PerdureError as error:
            moved = _move(path, self._directory / "rejected")
            write_file(moved.with_name(moved.name + ".reason"), f"{error}\n".encode())
        else:
            _move(path, self._directory / "accepted", prefix=f"{job.id}-")


def _read_spec(path: Path) -> str:
    todo = "Put a spec in TOML, in UTF-8, into the spool."
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # to open a FIFO would wait for ever for somebody who writes
        raise BadUsage(f"{path.name} cannot be read.", "It is not a file.", todo)
    if status.st_size > MAX_SPEC:
        raise BadUsage(f"{path.name} is too large for a spec.", f"It has over {MAX_SPEC} bytes.", todo)
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, PermissionError) as error:
        raise BadUsage(f"{path.name} cannot be read.", str(error), todo) from None


def _move(path: Path, folder: Path, prefix: str = "") -> Path:
    """Into the folder, under a name that is free there: nothing is overwritten."""
    target, number = folder / f"{prefix}{path.name}", 1
    while True:
        try:
            rename_noreplace(path, target)
        except FileExistsError:
            number += 1
            target = folder / f"{prefix}{number}-{path.name}"
        else:
            return target
