"""Does to the job what the script says. The daemon's death is `actors.PrivateDaemon.kill`; the rest is here."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from perdured.contract.checkpoint.store import list_checkpoints

TENSORS = "tensors.safetensors"


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # over already: the outcome will say so
        os.kill(pid, signal.SIGKILL)


def preempt(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def corrupt_newest_and_kill(pid: int, checkpoints: Path) -> int:
    """Flips one byte of the newest checkpoint and kills the process; the step of that checkpoint.

    The process is held still in between, so that it cannot save a newer one.
    """
    os.kill(pid, signal.SIGSTOP)
    try:
        newest = list_checkpoints(checkpoints)[0]
        flip_byte(newest.path / TENSORS)
    finally:
        os.kill(pid, signal.SIGKILL)
    return newest.step


def flip_byte(path: Path) -> None:
    """Inverts the byte in the middle of the file, as a failing disk or memory might: the length stays the same."""
    with path.open("r+b") as file:
        middle = path.stat().st_size // 2
        file.seek(middle)
        byte = file.read(1)[0]
        file.seek(middle)
        file.write(bytes([byte ^ 0xFF]))
