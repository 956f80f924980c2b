"""Reading a job's output through the API: all of it, its last lines, or as it grows over restarts of the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from perdured.client import Client
from perdured.wire import Log

_BLOCK = 64 * 1024

Read = Callable[[int], bytes]
"""Some bytes from an offset on; none at the end."""


class Position(NamedTuple):
    """The next byte to print."""

    attempt: int
    offset: int


def read_on(read: Read, offset: int) -> Iterator[bytes]:
    """Everything from `offset` to the present end."""
    while chunk := read(offset):
        yield chunk
        offset += len(chunk)


def find_last_lines(read: Read, size: int, count: int) -> tuple[int, int]:
    """The offset at which the last `count` lines of `size` bytes begin, and how many lines there really are from it.

    Read backwards, a block at a time, so that the end of a log of many gigabytes is found at once.
    """
    found, end = 0, size
    while end > 0:
        start = max(end - _BLOCK, 0)
        block = read(start)[: end - start]
        # The newline at the very end closes the last line; it begins none.
        at = len(block) - 1 if end == size and block.endswith(b"\n") else len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            found += 1
            if found == count:
                return start + at + 1, found
        end = start
    return 0, found + (1 if size else 0)


def find_start(client: Client, ref: str, logs: Sequence[Log], lines: int | None) -> Position:
    """Where to begin so that `lines` lines follow, over attempts if need be; None begins at the beginning."""
    if not logs:
        return Position(1, 0)
    if lines is None:
        return Position(logs[0]["attempt"], 0)
    position = Position(logs[-1]["attempt"], logs[-1]["bytes"])
    for log in reversed(logs):
        if lines <= 0:
            break
        read = partial(client.read_log, ref, log["attempt"])
        offset, found = find_last_lines(read, log["bytes"], lines)
        position, lines = Position(log["attempt"], offset), lines - found
    return position


def read_last_lines(client: Client, ref: str, logs: Sequence[Log], lines: int) -> list[str]:
    """The end of the newest attempt's output, as text; of a line without end no more than its last 64 KiB."""
    if not logs:
        return []
    newest = logs[-1]
    content = client.read_log(ref, newest["attempt"], max(newest["bytes"] - _BLOCK, 0))
    return content.decode(errors="replace").removesuffix("\n").split("\n")[-lines:] if content else []
