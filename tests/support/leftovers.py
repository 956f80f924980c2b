"""Finds the processes that tests have left behind, by a mark in the environment that every descendant inherits."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

MARK = "TEST_RUN_MARK"


def find_leftovers(mark: str) -> dict[int, str]:
    """PID and command line of every living process, other than this one, that inherited `mark`."""
    wanted = f"{MARK}={mark}".encode()
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    found = {pid: read_command(pid) for pid in pids if pid != os.getpid() and wanted in _read_environment(pid)}
    return {pid: command for pid, command in found.items() if command}


def wait_for_leftovers(mark: str, ceiling: float) -> dict[int, str]:
    """What is still left after at most `ceiling` seconds: what was killed a moment ago takes a moment to go."""
    deadline = time.monotonic() + ceiling
    while (left := find_leftovers(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def kill_leftovers(left: dict[int, str]) -> None:
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _read_environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def read_command(pid: int) -> str:
    """The command line; empty for a zombie, which is no longer anybody's work."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
