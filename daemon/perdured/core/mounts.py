"""What is mounted where, by the kernel's own list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class FileSystem(NamedTuple):
    point: str
    kind: str
    options: frozenset[str] = frozenset()
    """Of the mount and of the file system itself."""


def parse_mounts(text: str) -> list[FileSystem]:
    """The lines of /proc/self/mountinfo (proc_pid_mountinfo(5)), later mounts last."""
    return [_parse_mount(line) for line in text.splitlines() if " - " in line]


def find_file_system(mounts: Sequence[FileSystem], path: str) -> FileSystem | None:
    """The one that holds an absolute path: of those mounted above it the deepest, of several there the last."""
    above = [mount for mount in mounts if _is_below(path, mount.point)]
    deepest = max((len(mount.point) for mount in above), default=0)
    return next((mount for mount in reversed(above) if len(mount.point) == deepest), None)


def _parse_mount(line: str) -> FileSystem:
    own, _, rest = line.partition(" - ")
    fields, (kind, *others) = own.split(), rest.split()
    options = {*fields[5].split(","), *(others[1].split(",") if len(others) > 1 else [])}
    return FileSystem(_unescape(fields[4]), kind, frozenset(options))


def _unescape(text: str) -> str:
    """The kernel writes space, tab, newline and backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")
