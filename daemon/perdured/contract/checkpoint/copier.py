"""Copies a payload file to the disk, chunk by chunk, and takes the checksum of each chunk in the same pass.

A file of one chunk is one write. For a larger one, several threads each take a chunk, checksum it and write it at its
place; both let go of Python's lock, so the checksums cost nothing while the disk is the slower of the two. The
file is then written around the page cache (O_DIRECT) where the file system allows it: the kernel's copy of every byte,
its write-back at a moment of its own, and the eviction of what training has read, all fall away.

O_DIRECT wants memory, offsets and lengths in multiples of a block. So buffers of any shape are gathered in page-aligned
memory of our own, a few chunks of it and never the whole; an `Image`, which is aligned already and stands still, is
written from where it lies. The last block is written whole, and the file then cut to its length.

Known limits: the source is read once, by one thread. What O_DIRECT writes is not in the page cache, so who reads the
checkpoint next reads it from the disk.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import mmap
import os
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import NamedTuple

from perdured.contract import durable
from perdured.contract.checkpoint.layout import CHUNK_SIZE
from perdured.contract.durable import Buffer

BLOCK = 4096
"""Bytes. No disk in use has larger blocks, and it is a page of memory on the machines that have the smallest."""
WRITERS = 4
"""Chunks under way at a time: the disk has the next ones while one is checksummed."""


class Image(NamedTuple):
    """A whole file in memory that nobody changes while it is written. It begins at a page."""

    memory: memoryview
    length: int
    """Bytes of the file; `memory` goes on to the end of the last block."""


Source = Iterable[Buffer] | Image


class Copied(NamedTuple):
    length: int
    checksums: tuple[str, ...]
    """A CRC-32 in hex for each chunk."""


def copy_file(path: os.PathLike[str], source: Source) -> Copied:
    """Create the file exclusively, write it and sync it; its name is not durable yet. Errors: OSError, the source's."""
    copier = _Copier()
    durable.create_filled(path, lambda descriptor: copier.copy(descriptor, source))
    return copier.sum_up()


class _Taken(NamedTuple):
    length: int
    crc: int


class _Copier:
    """Each chunk is noted by the one thread that has it; nothing is read before all have stopped."""

    def __init__(self) -> None:
        self._taken: dict[int, _Taken] = {}
        """By the number of the chunk."""

    @property
    def length(self) -> int:
        return sum(taken.length for taken in self._taken.values())

    def sum_up(self) -> Copied:
        return Copied(self.length, tuple(f"{taken.crc:08x}" for _, taken in sorted(self._taken.items())))

    def copy(self, descriptor: int, source: Source) -> None:
        pool = _Pool()
        chunks = _slice(source) if isinstance(source, Image) else _gather(source, pool)
        first = next(chunks, None)
        if first is None:
            return
        second = next(chunks, None)
        if second is None:
            self._take(0, first)
            durable.write_all(descriptor, first.content)
            return
        _Crew(self, descriptor, pool).work(itertools.chain((first, second), chunks))

    def _take(self, number: int, chunk: _Chunk) -> None:
        self._taken[number] = _Taken(chunk.content.nbytes, zlib.crc32(chunk.content))

    def write_chunk(self, descriptor: int, number: int, chunk: _Chunk) -> None:
        """In any order, by any thread."""
        self._take(number, chunk)
        _write_at(descriptor, chunk.padded, number * CHUNK_SIZE)


class _Chunk(NamedTuple):
    content: memoryview
    padded: memoryview
    """The same, up to the end of its last block."""
    memory: mmap.mmap | None = None
    """Where it was gathered; to be given back."""


# Chunks ----------------------------------------------------------------------------------------------------------


class _Pool:
    """Page-aligned memory for gathering. Whoever asks for more than there is waits until some is given back."""

    def __init__(self) -> None:
        self._free: SimpleQueue[mmap.mmap | None] = SimpleQueue()
        for _ in range(WRITERS):
            self._free.put(None)

    def take(self) -> mmap.mmap:
        return self._free.get() or mmap.mmap(-1, CHUNK_SIZE)  # its pages come into being as they are filled

    def give_back(self, chunk: _Chunk) -> None:
        if chunk.memory is not None:
            self._free.put(chunk.memory)


def _slice(image: Image) -> Iterator[_Chunk]:
    for begin in range(0, image.length, CHUNK_SIZE):
        end = min(begin + CHUNK_SIZE, image.length)
        yield _Chunk(image.memory[begin:end], image.memory[begin : round_up(end)])


def _gather(buffers: Iterable[Buffer], pool: _Pool) -> Iterator[_Chunk]:
    """Each buffer is copied before the next is asked for."""
    memory, filled = pool.take(), 0
    for buffer in buffers:
        view = memoryview(buffer)
        view = view.cast("B") if view.nbytes else memoryview(b"")  # `cast` refuses a zero in the shape
        while view.nbytes:
            room = min(CHUNK_SIZE - filled, view.nbytes)
            memory[filled : filled + room] = view[:room]
            view, filled = view[room:], filled + room
            if filled == CHUNK_SIZE:
                yield _make_chunk(memory, filled)
                memory, filled = pool.take(), 0
    if filled:
        yield _make_chunk(memory, filled)


def _make_chunk(memory: mmap.mmap, length: int) -> _Chunk:
    view = memoryview(memory)
    return _Chunk(view[:length], view[: round_up(length)], memory)


def round_up(length: int) -> int:
    """To whole blocks."""
    return -(-length // BLOCK) * BLOCK


# Threads ---------------------------------------------------------------------------------------------------------


class _Crew:
    """Writes chunks by several threads. The first error ends the work of all, and is raised when all have stopped."""

    def __init__(self, copier: _Copier, descriptor: int, pool: _Pool) -> None:
        self._copier = copier
        self._descriptor = descriptor
        self._pool = pool
        self._todo: SimpleQueue[tuple[int, _Chunk] | None] = SimpleQueue()
        self._turns = threading.Semaphore(WRITERS)
        self._error: BaseException | None = None

    def work(self, chunks: Iterator[_Chunk]) -> None:
        _bypass_cache(self._descriptor)
        threads = _start_threads(self._write)
        try:
            for number, chunk in enumerate(chunks):
                self._turns.acquire()
                if self._error is not None:
                    break
                self._todo.put((number, chunk))
        finally:
            for _ in threads:
                self._todo.put(None)
            for thread in threads:
                thread.join()
        if self._error is not None:
            raise self._error
        os.ftruncate(self._descriptor, self._copier.length)

    def _write(self) -> None:
        while (turn := self._todo.get()) is not None:
            number, chunk = turn
            try:
                if self._error is None:
                    self._copier.write_chunk(self._descriptor, number, chunk)
            except BaseException as error:  # noqa: BLE001  raised again by `work`
                self._error = self._error or error
            self._pool.give_back(chunk)
            self._turns.release()


def _start_threads(target: Callable[[], None]) -> list[threading.Thread]:
    """As many as can be had. Errors: OSError if there is none."""
    threads: list[threading.Thread] = []
    for _ in range(WRITERS):
        thread = threading.Thread(target=target, name="perdure-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the limit on processes, which threads count against
            break
        threads.append(thread)
    if not threads:
        raise OSError(errno.EAGAIN, "no thread can be started")
    return threads


def _bypass_cache(descriptor: int) -> None:
    """Switches O_DIRECT on, where the file system has it."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _use_cache(descriptor: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_DIRECT)


def _write_at(descriptor: int, view: memoryview, offset: int) -> None:
    while view.nbytes:
        is_direct = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT  # before, as all threads share it
        try:
            written = os.pwrite(descriptor, view, offset)
        except OSError as error:
            if error.errno != errno.EINVAL or not is_direct:
                raise
            _use_cache(descriptor)  # for larger blocks than ours, or the rest of a write that fell short
        else:
            durable.check_progress(written)
            view, offset = view[written:], offset + written
