"""Names the processes that not even SIGKILL ends: those in uninterruptible sleep, for a disk or a driver."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from perdured.keeper.identity import observe_process

from .belongings import list_processes


def find_stuck(keeper: int) -> str | None:
    """Of the children of a keeper whose leader has ended, the first that is stuck in the kernel, in words."""
    return name_stuck(pid for pid, process in list_processes() if process.parent == keeper)


def name_stuck(pids: Iterable[int]) -> str | None:
    for pid in pids:
        seen = observe_process(pid)
        if seen is not None and seen.state == "D":
            return f"process {pid} ({_read(pid, 'comm')}) is in uninterruptible sleep ({_read(pid, 'wchan') or '?'})"
    return None


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
