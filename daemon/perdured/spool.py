"""The spool: a spec that is renamed (or written) into the folder is submitted, then moved to `accepted/`, or to
`rejected/` with the reason in a file beside it. For cron, for scp, for anything that can only write files.

A spec is claimed before anything else: renamed into `claimed/`, under the id that its job will have. To submit it
again under that id changes nothing, so a daemon that is killed anywhere in between ends, once it is back, with one job
and the spec in `accepted/`. The reason of a rejection is written before the spec is moved to it.

A relative workdir starts at the home of the daemon's user; the environment is that user's bare one (HOME, PATH …),
since there is no submitter's shell to capture.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sqlite3
import stat
from functools import partial
from pathlib import Path

from .contract.durable import make_directories, rename_noreplace, write_file
from .disks import Disks
from .errors import BadUsage, DiskSilent, PerdureError
from .supervise.effects import make_job_id
from .supervise.service import Service
from .watching import Watcher

_log = logging.getLogger("perdured")

MAX_SPEC = 1 << 20
READ_WITHIN = 10.0
"""Seconds: a spec may be a link to anywhere."""
LONGEST_STEM = 220
_CLAIMED = "claimed"
_OF_THE_FILE = (errno.ENOENT, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENAMETOOLONG)
"""What is wrong with the file itself, or with the link that it is."""
_BARE = ("HOME", "USER", "LOGNAME", "PATH", "LANG", "LC_ALL", "SHELL", "TMPDIR")


class Spool:
    def __init__(self, directory: Path, service: Service) -> None:
        self._directory = directory
        self._service = service
        self._disks = Disks()
        self._watcher = Watcher()
        self._look_again = asyncio.Event()

    async def run(self) -> None:
        """Submits what is there, then whatever arrives, until cancelled."""
        for name in ("", _CLAIMED, "accepted", "rejected"):
            make_directories(self._directory / name, mode=0o700)
        loop = asyncio.get_running_loop()
        self._watcher.watch(self._directory, lambda: loop.call_soon_threadsafe(self._look_again.set))
        try:
            while True:
                self._look_again.clear()
                for path in sorted(self._directory.glob("*.toml")):
                    self._claim(path)
                for path in sorted((self._directory / _CLAIMED).glob("????????-*.toml"), key=_by_name):
                    await self._take(path)
                await self._look_again.wait()
        finally:
            self._watcher.close()

    def _claim(self, path: Path) -> None:
        try:
            rename_noreplace(path, self._directory / _CLAIMED / f"{make_job_id()}-{_shorten(path.name)}")
        except FileNotFoundError:
            _log.info("%s went away before it was read", path)
        except OSError as error:
            _log.error("%s cannot be taken and is left in the spool until something else arrives: %s", path, error)

    async def _take(self, path: Path) -> None:
        """What is wrong with the spec is told beside it. What is wrong with the disk leaves it where it is."""
        try:
            await self._submit(path)
        except (OSError, sqlite3.Error, DiskSilent) as error:
            _log.error("%s is left in the spool until something else arrives: %s", path, error)

    async def _submit(self, path: Path) -> None:
        id, _, name = path.name.partition("-")
        try:
            text = await self._disks.touch(path, partial(_read_spec, path, name), READ_WITHIN)
            env = {name: os.environ[name] for name in _BARE if name in os.environ}
            await self._service.submit_text(text, workdir=Path.home(), env=env, id=id)
        except DiskSilent:
            raise
        except PerdureError as error:
            _reject(path, self._directory / "rejected" / name, error)
        else:
            rename_noreplace(path, self._directory / "accepted" / path.name)


def _by_name(path: Path) -> str:
    """The order in which specs are submitted: that of their names."""
    return path.name.partition("-")[2]


def _shorten(name: str) -> str:
    """With an id before it and `.reason` after it, a name has to fit into what the file system allows (255 bytes)."""
    stem = os.fsencode(name.removesuffix(".toml"))[:LONGEST_STEM]
    return os.fsdecode(stem) + ".toml"


def _read_spec(path: Path, name: str) -> str:
    todo = "Put a spec in TOML, in UTF-8, into the spool."
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # to open a FIFO would wait for ever for somebody who writes
            raise BadUsage(f"{name} cannot be read.", "It is not a file.", todo)
        if status.st_size > MAX_SPEC:
            raise BadUsage(f"{name} is too large for a spec.", f"It has over {MAX_SPEC} bytes.", todo)
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _OF_THE_FILE:
            raise
        raise BadUsage(f"{name} cannot be read.", str(error), todo) from None


def _reject(path: Path, wanted: Path, error: PerdureError) -> None:
    """Under a name that is free there: nothing is overwritten."""
    target, number = wanted, 1
    while os.path.lexists(target):
        number += 1
        target = wanted.with_name(f"{number}-{wanted.name}")
    write_file(target.with_name(f"{target.name}.reason"), f"{error}\n".encode(errors="backslashreplace"))
    rename_noreplace(path, target)
