"""Copies a payload file to the disk, chunk by chunk, and takes the checksum of each chunk in the same pass.

A file of one chunk is one write. For a larger one, several threads each take a chunk, checksum it and write it at its
place; both let go of Python's lock, so the checksums cost nothing while the disk is the slower of the two. The
file is then written around the page cache (O_DIRECT) where the file system allows it: the kernel's copy of every byte,
its write-back at a moment of its own, and the eviction of what training has read, all fall away.

O_DIRECT wants memory, offsets and lengths in multiples of a block: `gather` makes such chunks of any source. The last
block is written whole, and the file then cut to its length.

Known limits: the source is read once, by the caller's thread alone, since it may hang on what is a thread's own (the
current stream of a GPU). What O_DIRECT writes is not in the page cache, so who reads the checkpoint next reads it from
the disk.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import NamedTuple

from perdured.contract import durable
from perdured.contract.checkpoint.gather import Chunk, Pool, Room, Scattered, Source, cut_source
from perdured.contract.checkpoint.layout import CHUNK_SIZE

WRITERS = 4
"""Chunks under way at a time: the disk has the next ones while one is checksummed."""


class Copied(NamedTuple):
    length: int
    checksums: tuple[str, ...]
    """A CRC-32 in hex for each chunk."""


def copy_file(path: os.PathLike[str], source: Source, check: Callable[[], None] = lambda: None) -> Copied:
    """Create the file exclusively, write it and sync it; its name is not durable yet. Errors: OSError, the source's.

    `check` is called before each chunk, and what it raises ends the copy.
    """
    copier = _Copier(check)
    durable.create_filled(path, lambda descriptor: copier.copy(descriptor, source))
    return copier.sum_up()


class _Taken(NamedTuple):
    length: int
    crc: int


class _Copier:
    """Each chunk is noted by the one thread that has it; nothing is read before all have stopped."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._taken: dict[int, _Taken] = {}
        """By the number of the chunk."""

    @property
    def length(self) -> int:
        return sum(taken.length for taken in self._taken.values())

    def sum_up(self) -> Copied:
        return Copied(self.length, tuple(f"{taken.crc:08x}" for _, taken in sorted(self._taken.items())))

    def copy(self, descriptor: int, source: Source) -> None:
        pool = Pool(WRITERS)
        chunks = cut_source(source, pool)
        first = next(chunks, None)
        if first is None:
            return
        second = next(chunks, None)
        if second is None:
            durable.write_all(descriptor, self._take(0, first, Room()).content)
            return
        _Crew(self, descriptor, pool).work(itertools.chain((first, second), chunks))

    def _take(self, number: int, chunk: Chunk | Scattered, room: Room) -> Chunk:
        self._check()
        gathered, crc = chunk.checksum(room)
        self._taken[number] = _Taken(gathered.content.nbytes, crc)
        return gathered

    def write_chunk(self, descriptor: int, number: int, chunk: Chunk | Scattered, room: Room) -> None:
        """In any order, by any thread."""
        _write_at(descriptor, self._take(number, chunk, room).padded, number * CHUNK_SIZE)


# Threads ---------------------------------------------------------------------------------------------------------


class _Crew:
    """Writes chunks by several threads. The first error ends the work of all, and is raised when all have stopped."""

    def __init__(self, copier: _Copier, descriptor: int, pool: Pool) -> None:
        self._copier = copier
        self._descriptor = descriptor
        self._pool = pool
        self._todo: SimpleQueue[tuple[int, Chunk | Scattered] | None] = SimpleQueue()
        self._turns = threading.Semaphore(WRITERS)
        self._error: BaseException | None = None

    def work(self, chunks: Iterator[Chunk | Scattered]) -> None:
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
        room = Room()
        while (turn := self._todo.get()) is not None:
            number, chunk = turn
            try:
                if self._error is None:
                    self._copier.write_chunk(self._descriptor, number, chunk, room)
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
