"""What is to be written, cut into chunks that lie in memory as O_DIRECT wants it: at a page, in whole blocks.

Buffers of any shape are gathered in memory of our own, a few chunks of it and never the whole. Those that are good only
until the next is asked for are copied by the thread that asks. `Steady` ones are copied by the thread that writes the
chunk, so several are gathered at a time, and each piece is checksummed while it is still in the processor's cache.
An `Image` is aligned already and stands still; nothing of it is copied.
"""

from __future__ import annotations

import itertools
import mmap
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from queue import SimpleQueue
from typing import NamedTuple

from perdured.contract.checkpoint.layout import CHUNK_SIZE
from perdured.contract.durable import Buffer

BLOCK = 4096
"""Bytes. No disk in use has larger blocks, and it is a page of memory on the machines that have the smallest."""
_STRIDE = 256 << 10
"""Bytes that are copied and then checksummed, few enough to be in the processor's cache in between."""


class Image(NamedTuple):
    """A whole file in memory that nobody changes while it is written. It begins at a page."""

    memory: memoryview
    length: int
    """Bytes of the file; `memory` goes on to the end of the last block."""


class Steady(NamedTuple):
    """Buffers that stay as they are until the copy is done, not only until the next is asked for."""

    buffers: Iterable[Buffer]


Source = Iterable[Buffer] | Steady | Image


class Scattered(NamedTuple):
    """A chunk that lies in several places."""

    pieces: tuple[memoryview, ...]

    def checksum(self, room: Room) -> tuple[Chunk, int]:
        """The same, gathered; and its CRC-32."""
        memory, filled, crc = room.memory, 0, 0
        for part in itertools.chain.from_iterable(map(_stride, self.pieces)):
            memory[filled : filled + part.nbytes] = part
            crc = zlib.crc32(part, crc)
            filled += part.nbytes
        return _make_chunk(memory, filled), crc


class Chunk(NamedTuple):
    content: memoryview
    padded: memoryview
    """The same, up to the end of its last block."""
    memory: mmap.mmap | None = None
    """Where it was gathered."""

    def checksum(self, _: Room) -> tuple[Chunk, int]:
        """The same, and its CRC-32."""
        return self, zlib.crc32(self.content)


# Memory ----------------------------------------------------------------------------------------------------------


class Room:
    """A thread's own memory for one chunk; there is none before it is needed."""

    @cached_property
    def memory(self) -> mmap.mmap:
        return mmap.mmap(-1, CHUNK_SIZE)  # its pages come into being as they are filled


class Pool:
    """Memory for some chunks. Whoever asks for more than there is waits until some is given back."""

    def __init__(self, chunks: int) -> None:
        self._free: SimpleQueue[mmap.mmap | None] = SimpleQueue()
        for _ in range(chunks):
            self._free.put(None)

    def take(self) -> mmap.mmap:
        return self._free.get() or mmap.mmap(-1, CHUNK_SIZE)

    def give_back(self, chunk: Chunk | Scattered) -> None:
        """If it was taken from here."""
        if isinstance(chunk, Chunk) and chunk.memory is not None:
            self._free.put(chunk.memory)


# Chunks ----------------------------------------------------------------------------------------------------------


def cut_source(source: Source, pool: Pool) -> Iterator[Chunk | Scattered]:
    """Chunks in their order. The memory of each is to be given back to the pool."""
    if isinstance(source, Image):
        return _slice(source)
    return _scatter(source.buffers) if isinstance(source, Steady) else _gather(source, pool)


def _slice(image: Image) -> Iterator[Chunk]:
    for begin in range(0, image.length, CHUNK_SIZE):
        end = min(begin + CHUNK_SIZE, image.length)
        yield Chunk(image.memory[begin:end], image.memory[begin : round_up(end)])


def _gather(buffers: Iterable[Buffer], pool: Pool) -> Iterator[Chunk]:
    """Each buffer is copied before the next is asked for."""
    memory, filled = pool.take(), 0
    for piece in _cut_at_chunks(buffers):
        memory[filled : filled + piece.nbytes] = piece
        filled += piece.nbytes
        if filled == CHUNK_SIZE:
            yield _make_chunk(memory, filled)
            memory, filled = pool.take(), 0
    if filled:
        yield _make_chunk(memory, filled)


def _scatter(buffers: Iterable[Buffer]) -> Iterator[Scattered]:
    pieces: list[memoryview] = []
    filled = 0
    for piece in _cut_at_chunks(buffers):
        pieces.append(piece)
        filled += piece.nbytes
        if filled == CHUNK_SIZE:
            yield Scattered(tuple(pieces))
            pieces, filled = [], 0
    if pieces:
        yield Scattered(tuple(pieces))


def _cut_at_chunks(buffers: Iterable[Buffer]) -> Iterator[memoryview]:
    """The same bytes, in pieces of which none lies in two chunks and none is empty."""
    room = CHUNK_SIZE
    for buffer in buffers:
        view = memoryview(buffer)
        view = view.cast("B") if view.nbytes else memoryview(b"")  # `cast` refuses a zero in the shape
        while view.nbytes:
            piece, view = view[:room], view[room:]
            room = room - piece.nbytes or CHUNK_SIZE
            yield piece


def _stride(piece: memoryview) -> Iterator[memoryview]:
    return (piece[begin : begin + _STRIDE] for begin in range(0, piece.nbytes, _STRIDE))


def _make_chunk(memory: mmap.mmap, length: int) -> Chunk:
    view = memoryview(memory)
    return Chunk(view[:length], view[: round_up(length)], memory)


def round_up(length: int) -> int:
    """To whole blocks."""
    return -(-length // BLOCK) * BLOCK
