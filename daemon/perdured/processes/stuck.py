"""Names the processes that not even SIGKILL ends: those that sleep uninterruptibly, for a disk or a driver.

Many a process sleeps so for a moment. Stuck is one that has been killed and sleeps on: the kernel tells both of each
thread, and one thread is enough, also where the main thread has ended already.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator

from perdured.keeper.identity import observe_process

_KILLED = 1 << (signal.SIGKILL - 1)


def find_stuck(keeper: int) -> str | None:
    """Of the children of a keeper the first that is stuck, in words."""
    return name_stuck(_list_children(keeper))


def name_stuck(pids: Iterable[int]) -> str | None:
    for pid in pids:
        for thread in _list_threads(pid):
            if is_stuck(_read(f"/proc/{pid}/task/{thread}/status")):
                name, place = _read(f"/proc/{pid}/comm"), _read(f"/proc/{pid}/task/{thread}/wchan").strip("0")
                return f"process {pid} ({name}) is in uninterruptible sleep ({place or '?'})"
    return None


def is_stuck(status: str) -> bool:
    """By /proc/PID/task/TID/status."""
    pending = re.findall(r"^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$", status, re.MULTILINE)
    is_killed = any(int(mask, 16) & _KILLED for mask in pending)
    return is_killed and re.search(r"^State:\s*D", status, re.MULTILINE) is not None


def _list_children(parent: int) -> Iterator[int]:
    """Also those of which only a thread is left."""
    for name in os.listdir("/proc"):
        process = observe_process(int(name)) if name.isdigit() else None
        if process is not None and process.parent == parent:
            yield int(name)


def _list_threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
