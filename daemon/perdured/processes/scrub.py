"""A process that verifies one checkpoint in the background; it stands still while it is paused.

How long a checkpoint takes nobody can say: it may be large, its disk busy, and reading stands back behind all else. So
what is limited is the time without a byte, as the kernel counts them. One that hangs in its disk cannot be ended, only
told to: it is left behind, and is gone when the disk answers or is given up by the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import NamedTuple

PROGRAM = Path(__file__).parents[1] / "keeper" / "scrub.py"
SILENCE = 600.0
"""Seconds without a byte after which its disk is taken for one that hangs."""


class ScrubVerdict(NamedTuple):
    is_valid: bool
    is_unknown: bool
    why: str
    seconds: float = 0.0
    """That reading took."""


class ScrubProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._is_paused = self._was_paused = False
        self._read: int | None = None
        self._left: asyncio.Task[int] | None = None

    @property
    def is_left(self) -> bool:
        """It was given up, and is still there."""
        return self._left is not None and not self._left.done()

    def pause(self, *, is_paused: bool) -> None:
        self._is_paused = is_paused
        self._was_paused |= is_paused
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGSTOP if is_paused else signal.SIGCONT)

    async def wait(self, silence: float = SILENCE) -> ScrubVerdict:
        """What cannot be understood, as of a process that was killed, says nothing of the checkpoint; nor does one that
        has read nothing for `silence` seconds."""
        asked = asyncio.ensure_future(self._process.communicate())
        try:
            while not (await asyncio.wait({asked}, timeout=silence))[0]:
                if self._is_silent():
                    return self._leave(silence)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            raise
        finally:
            asked.cancel()
        return _parse(asked.result()[0])

    def _is_silent(self) -> bool:
        """Since the last time it was asked. The first time, since its start; a time at which it was paused is none."""
        before, self._read = self._read, _count_read(self._process.pid)
        was_paused, self._was_paused = self._was_paused, self._is_paused
        return self._read is not None and self._read == before and not was_paused

    def _leave(self, silence: float) -> ScrubVerdict:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._left = asyncio.create_task(self._process.wait(), name="a scrub that hangs")
        why = f"its disk has given nothing for {silence:g} s"
        return ScrubVerdict(is_valid=False, is_unknown=True, why=why, seconds=silence)


def _parse(output: bytes) -> ScrubVerdict:
    try:
        told = json.loads(output)
        return ScrubVerdict(bool(told["valid"]), bool(told["unknown"]), str(told["why"]), float(told["seconds"]))
    except (ValueError, KeyError, TypeError):
        return ScrubVerdict(is_valid=False, is_unknown=True, why="the process that verified it died")


def _count_read(pid: int) -> int | None:
    """Bytes that it has read so far. None where nobody may know: then it is never given up."""
    try:
        fields = Path(f"/proc/{pid}/io").read_text().split()
        return int(fields[fields.index("rchar:") + 1])
    except (OSError, ValueError, IndexError):
        return None


async def start_scrub(checkpoint: Path) -> ScrubProcess:
    command = [sys.executable, "-I", "-S", str(PROGRAM), str(checkpoint)]
    quiet = asyncio.subprocess.DEVNULL
    return ScrubProcess(
        await asyncio.create_subprocess_exec(*command, stdin=quiet, stdout=asyncio.subprocess.PIPE, stderr=quiet)
    )
