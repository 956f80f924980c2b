"""A process that verifies one checkpoint in the background; it stands still while it is paused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import NamedTuple

PROGRAM = Path(__file__).parents[1] / "keeper" / "scrub.py"


class ScrubVerdict(NamedTuple):
    is_valid: bool
    is_unknown: bool
    why: str
    seconds: float = 0.0
    """That reading took."""


class ScrubProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def pause(self, *, is_paused: bool) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGSTOP if is_paused else signal.SIGCONT)

    async def wait(self) -> ScrubVerdict:
        """What cannot be understood, as of a process that was killed, says nothing of the checkpoint."""
        try:
            output, _ = await self._process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            raise
        try:
            told = json.loads(output)
            return ScrubVerdict(bool(told["valid"]), bool(told["unknown"]), str(told["why"]), float(told["seconds"]))
        except (ValueError, KeyError, TypeError):
            return ScrubVerdict(is_valid=False, is_unknown=True, why="the process that verified it died")


async def start_scrub(checkpoint: Path) -> ScrubProcess:
    command = [sys.executable, "-I", "-S", str(PROGRAM), str(checkpoint)]
    quiet = asyncio.subprocess.DEVNULL
    return ScrubProcess(
        await asyncio.create_subprocess_exec(*command, stdin=quiet, stdout=asyncio.subprocess.PIPE, stderr=quiet)
    )
