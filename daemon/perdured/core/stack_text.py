"""Reads what Python's faulthandler writes."""

from __future__ import annotations

import re

_THREAD = re.compile(r"^(Current thread|Thread) 0x")
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)$')


def find_shape(text: str) -> str | None:
    """Where the main thread is; the same for a thread that waits, or that spins in one function.

    The main thread is the oldest and is written last. Of the innermost frame the line does not count: who spins goes
    round a few of them.
    """
    frames: list[str] = []
    for line in text.splitlines():
        if _THREAD.match(line):
            frames = []
        elif found := _FRAME.match(line):
            where = "" if not frames else f":{found['line']}"
            frames.append(f"{found['file']}{where}:{found['name']}")
    return " < ".join(frames) or None
