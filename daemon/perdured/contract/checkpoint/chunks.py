"""Reads a payload file and verifies it in the same pass: each chunk against its checksum, several at a time.

The bytes go where they are wanted, by ranges of the file (`Target`); the rest is read, checksummed and forgotten. So
what is loaded is what was verified, byte for byte, and the disk is asked once. Until the whole file was found right,
nothing may be done with what lies in the targets.

Reading goes through the page cache: after a crash the file is often there still. A chunk is announced to the kernel
before it is read (`posix_fadvise`), since readahead of its own follows one reader per descriptor, and here several read
from one.
"""

from __future__ import annotations

import itertools
import os
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from perdured.contract.checkpoint.crew import READERS, do_all
from perdured.contract.checkpoint.manifest import FileEntry

PIECE_SIZE = 1 << 20
"""Bytes read and checksummed at a time: small enough to be in the cache for the second of the two."""


class Target(NamedTuple):
    """Where bytes of the file go: writable, flat, and as long as what is wanted."""

    begin: int
    memory: memoryview


def find_wrong_chunk(
    descriptor: int, file: FileEntry, chunk_size: int, targets: Iterable[Target] = (), *, start: int = 0
) -> int | None:
    """Fill the targets. Returns the number of the first chunk with other bytes than were written. Errors: OSError.

    `start` is where the bytes of the file begin, if they are a part of something larger.
    Targets do not overlap in the file, and lie in it. With a wrong chunk some are filled and some are not.
    """
    reader = _Reader(descriptor, start, targets)
    wrong: list[int] = []

    def check(number: int) -> None:
        begin = number * chunk_size
        if reader.read(begin, min(begin + chunk_size, file.length)) != file.checksums[number]:
            wrong.append(number)

    # Chunks are begun in order and each that was begun is finished, so of those found wrong the first is the first.
    numbers = itertools.takewhile(lambda _: not wrong, range(len(file.checksums)))
    do_all(numbers, check, min(READERS, len(file.checksums)))
    return min(wrong, default=None)


class _Reader:
    def __init__(self, descriptor: int, start: int, targets: Iterable[Target]) -> None:
        self._descriptor = descriptor
        self._start = start
        self._targets = sorted((target for target in targets if target.memory.nbytes), key=lambda each: each.begin)
        self._begins = [target.begin for target in self._targets]

    def read(self, begin: int, end: int) -> str:
        """The checksum of that range of the file, or of what is left of it."""
        os.posix_fadvise(self._descriptor, self._start + begin, end - begin, os.POSIX_FADV_WILLNEED)
        crc, scratch = 0, memoryview(bytearray(min(PIECE_SIZE, end - begin)))
        for piece in self._cut(begin, end, scratch):
            filled = 0
            while filled < piece.nbytes:
                count = os.preadv(self._descriptor, [piece[filled:]], self._start + begin + filled)
                if not count:
                    return "ends early"
                filled += count
            crc = zlib.crc32(piece, crc)
            begin += filled
        return f"{crc:08x}"

    def _cut(self, begin: int, end: int, scratch: memoryview) -> Iterator[memoryview]:
        """Memory for the range, piece after piece: of a target, or between two of them the same again and again."""
        while begin < end:
            target = self._find(begin)
            offset = begin - target.begin
            memory = target.memory[offset:] if offset >= 0 else scratch[:-offset]
            memory = memory[: min(end - begin, PIECE_SIZE)]
            yield memory
            begin += memory.nbytes

    def _find(self, at: int) -> Target:
        """The target that has that byte, else the next one, else one beyond the end."""
        number = bisect_right(self._begins, at)
        if number and at < self._begins[number - 1] + self._targets[number - 1].memory.nbytes:
            return self._targets[number - 1]
        return self._targets[number] if number < len(self._targets) else _BEYOND


_BEYOND = Target(1 << 63, memoryview(b""))
