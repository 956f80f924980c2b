"""Steps and losses, read from the output of the training script, which tells them in lines of its own.

The output file is the one source that needs neither the daemon, which is dead for a while, nor the same clock.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_LINE = re.compile(r"step (\d+)/(\d+): loss (\d+\.\d+)")


class Progress(NamedTuple):
    step: int
    total: int
    loss: float


def parse_progress(line: str) -> Progress | None:
    found = _LINE.match(line)
    return Progress(int(found[1]), int(found[2]), float(found[3])) if found else None


class Tail:
    """The whole lines that were added to a file since the last look. The file need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read_lines(self) -> list[str]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(whole) + len(newline)
        return whole.decode(errors="replace").splitlines()

    def read_progress(self) -> list[Progress]:
        return [progress for line in self.read_lines() if (progress := parse_progress(line))]
