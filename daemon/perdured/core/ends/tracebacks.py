"""Reads Python tracebacks out of what a program printed, and gives each a fingerprint.

What is read: plain ones; chained ones; the bare form of a syntax error in the script itself, which has no "Traceback"
line; exception groups; and those of several ranks at once, which torch marks with "[rank1]:" and which may be mixed
line by line. One that is cut off before its last line is not taken.

The fingerprint answers "is this the same failure again?". It holds the type, the message, and of each frame the file's
name, the function and the source text. It leaves out what changes between two runs of the same failure: addresses,
numbers of any kind in the message (bytes, process ids, ports, times), temporary paths, the directory of a file. Line
numbers are left out as well, because somebody who adds a line above has not mended anything; the source text keeps
two assertions in one function apart, which the number alone did too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_RANK = re.compile(r"\[(?:rank|default)?(\d+)\]:\s?")
_MARGIN = re.compile(r"\s*(?:\| ?|\+ (?=Exception Group))")
_HEADER = re.compile(r"\s*(?:Exception Group |Original )?Traceback \(most recent call last\):\s*")
_FRAME = re.compile(r'\s+File "(?P<file>[^"]*)", line \d+(?:, in (?P<function>.+))?')
_LAST = re.compile(r"(?P<type>[A-Za-z_]\w*(?:\.[A-Za-z_<>]\w*>?)*)(?:: ?(?P<message>.*))?")
_MARKS = re.compile(r"[\s~^]+")
_CHAIN = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")
_LONGEST_BARE = 8
"""Lines of a syntax error that has no "Traceback" line."""
_MOST_DETAIL = 12
"""Lines after the last one that still belong to the message."""
_VOLATILE = (
    (re.compile(r"0x[0-9a-fA-F]+"), "0x"),
    (re.compile(r"(?:/tmp|/var/tmp|/dev/shm|/proc)/[^\s'\"<>]*"), "a path"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|\b(?=\w*\d)[0-9a-f]{12,}\b"), "#"),
    (re.compile(r"\d+"), "#"),
)


class Frame(NamedTuple):
    file: str
    function: str
    source: str
    """The text of the line; empty where the source could not be read."""


class Traceback(NamedTuple):
    type: str
    """As printed, with its module: "torch.OutOfMemoryError"."""
    message: str
    """Its first line."""
    detail: str
    """The lines after that, where there are some."""
    frames: tuple[Frame, ...]
    lines: tuple[str, ...]
    is_chained: bool
    """It followed from the one before."""

    @property
    def name(self) -> str:
        """The type without its module."""
        return self.type.rsplit(".", 1)[-1]

    @property
    def error(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type

    @property
    def text(self) -> str:
        return f"{self.error}\n{self.detail}"


def find_tracebacks(lines: Sequence[str]) -> list[Traceback]:
    """In the order in which they were completed."""
    found: list[tuple[int, Traceback]] = []
    for numbered in _split_ranks(lines).values():
        found += _Reader(numbered).read()
    return [traceback for _, traceback in sorted(found, key=lambda pair: pair[0])]


def make_fingerprint(traceback: Traceback) -> str:
    """Twelve hexadecimal digits."""
    frames = (f"{frame.file.rsplit('/', 1)[-1]}:{frame.function}:{frame.source}" for frame in traceback.frames)
    return hash_parts((traceback.type, drop_volatile(traceback.message), *frames))


def drop_volatile(text: str) -> str:
    """Without what changes from one run of the same failure to the next."""
    for pattern, blank in _VOLATILE:
        text = pattern.sub(blank, text)
    return text


def hash_parts(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:12]


def _split_ranks(lines: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
    """The lines of each rank by themselves, with their place among all."""
    ranks: dict[str, list[tuple[int, str]]] = {}
    for number, line in enumerate(lines):
        mark = _RANK.match(line)
        rank, text = (mark[1], line[mark.end() :]) if mark else ("", line)
        ranks.setdefault(rank, []).append((number, text.rstrip("\r\n")))
    return ranks


class _Reader:
    """Walks over the lines of one rank."""

    def __init__(self, numbered: Sequence[tuple[int, str]]) -> None:
        self._numbers = [number for number, _ in numbered]
        self._lines = [_strip_margin(text) for _, text in numbered]
        self._is_chained = False

    def read(self) -> list[tuple[int, Traceback]]:
        found, at = [], 0
        while at < len(self._lines):
            line = self._lines[at]
            if line in _CHAIN:
                self._is_chained = True
            begins_bare = _is_bare_frame(line)
            if not (_HEADER.fullmatch(line) or begins_bare):
                at += 1
                continue
            end = self._find_last(at, _LONGEST_BARE) if begins_bare else self._find_last(at + 1)
            traceback = self._make(at, end) if end is not None else None
            if traceback is None or (begins_bare and traceback.name not in _SYNTAX):
                at += 1
                continue
            assert end is not None
            found.append((self._numbers[end], traceback))
            self._is_chained = False
            at = end + 1
        return found

    def _find_last(self, at: int, most: int | None = None) -> int | None:
        """The first line that is not indented, within `most`: the type and the message."""
        end = len(self._lines) if most is None else min(at + most, len(self._lines))
        while at < end and (self._lines[at][:1].isspace() or not self._lines[at]):
            if _HEADER.fullmatch(self._lines[at]):
                return None
            at += 1
        return at if at < end and _LAST.fullmatch(self._lines[at]) else None

    def _make(self, start: int, end: int) -> Traceback | None:
        last = _LAST.fullmatch(self._lines[end])
        assert last is not None
        detail = self._read_detail(end + 1)
        body = self._lines[start : end + 1]
        return Traceback(
            type=last["type"],
            message=last["message"] or "",
            detail="\n".join(detail),
            frames=tuple(_read_frames(body)),
            lines=(*body, *detail),
            is_chained=self._is_chained,
        )

    def _read_detail(self, at: int) -> list[str]:
        detail = []
        for line in self._lines[at : at + _MOST_DETAIL]:
            if not line.strip() or _HEADER.fullmatch(line) or line in _CHAIN:
                break
            detail.append(line)
        return detail


def _strip_margin(text: str) -> str:
    margin = _MARGIN.match(text)
    return text[margin.end() :] if margin else text


def _is_bare_frame(line: str) -> bool:
    frame = _FRAME.fullmatch(line)
    return frame is not None and frame["function"] is None


def _read_frames(lines: Sequence[str]) -> Iterable[Frame]:
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        frame = _FRAME.fullmatch(line)
        if frame is not None:
            is_source = after[:1].isspace() and not _FRAME.fullmatch(after) and not _MARKS.fullmatch(after)
            yield Frame(frame["file"], frame["function"] or "", after.strip() if is_source else "")
