"""The carrier: the process that copies checkpoints between the disk and the remote (`perdured.remote`). Likewise the
messenger, which asks the bucket that hosts have joined (`perdured.fleet`), with the daemon's own environment.

It is the daemon's child, speaks over its standard streams, and ends when its standard input does: so it is gone when
the daemon is, however that died. It has the job's environment, for the credentials, but for what would change how
programs are loaded: `LD_LIBRARY_PATH` of a job is for the job's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping

_LOADING = ("LD_", "DYLD_")
_LONGEST_SAID = 300
_LONGEST_LINE = 64 << 20
"""Bytes: what a bucket holds of all jobs comes in one."""


async def start_messenger(url: bytes, env: Mapping[str, str]) -> Carrier:
    return await start_carrier(url, env, "perdured.fleet")


async def start_carrier(order: bytes, env: Mapping[str, str], module: str = "perdured.remote") -> Carrier:
    """Errors: OSError, and then nothing was started."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", module),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
        env={name: value for name, value in env.items() if not name.startswith(_LOADING)},
        cwd="/",
        start_new_session=True,
    )
    carrier = Carrier(process)
    carrier.say(order)
    return carrier


class Carrier:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stderr is not None
        self._said = asyncio.ensure_future(process.stderr.read())

    def say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):  # it may have ended meanwhile
            self._process.stdin.write(line + b"\n")

    async def read_lines(self) -> AsyncIterator[bytes]:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            yield line

    async def read_line(self) -> bytes:
        """b"" when it has ended."""
        assert self._process.stdout is not None
        return await self._process.stdout.readline()

    async def end(self) -> str:
        """Kills it, if it has not ended by itself. Returns the last line that it printed as an error."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        said, _ = await asyncio.gather(self._said, self._process.wait())
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:_LONGEST_SAID] if lines else ""
