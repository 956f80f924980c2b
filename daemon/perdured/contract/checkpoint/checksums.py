"""A CRC-32 for each chunk of a stream that arrives in buffers of any size.

CRC-32 against accidents: every single flipped bit and every burst up to 32 bits changes it, and one core does 6 GB/s.
Chunks, so that a wrong one can be named, and checked while the rest is still being read.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from perdured.contract.checkpoint.layout import CHUNK_SIZE
from perdured.contract.durable import Buffer

PIECE_SIZE = 1 << 20
"""Bytes checksummed and written at a time: small enough to be in the cache for the second of the two."""


class ChunkSums:
    """Feed it every byte once, in order; `finish` gives the checksums. `chunk_size` is in bytes."""

    def __init__(self, chunk_size: int = CHUNK_SIZE) -> None:
        self.length = 0
        self._chunk_size = chunk_size
        self._sums: list[str] = []
        self._crc = 0

    def split(self, buffer: Buffer) -> Iterator[memoryview]:
        """The buffer in pieces, without a copy, none of which crosses the end of a chunk.

        Each piece must be given to `update` before the next is asked for.
        """
        view = memoryview(buffer)
        if not view.nbytes:
            return  # `cast` refuses a view with a zero in its shape
        view = view.cast("B")
        while view.nbytes:
            room = self._chunk_size - self.length % self._chunk_size
            piece = view[: min(room, PIECE_SIZE)]
            yield piece
            view = view[piece.nbytes :]

    def update(self, piece: memoryview) -> None:
        self._crc = zlib.crc32(piece, self._crc)
        self.length += piece.nbytes
        if self.length % self._chunk_size == 0:
            self._end_chunk()

    def finish(self) -> tuple[str, ...]:
        if self.length % self._chunk_size:
            self._end_chunk()
        return tuple(self._sums)

    def _end_chunk(self) -> None:
        self._sums.append(f"{self._crc:08x}")
        self._crc = 0
