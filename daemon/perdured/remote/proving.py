"""Are the right bytes there? The manifest's checksums decide, and they are not asked of the store.

Where the ETag of an object is the MD5 of its bytes, or of the MD5s of its parts (S3 and what speaks like it), it proves
what arrived without reading it back. Where it is not (other stores, S3 with keys of its own), the object is read back
once and its chunks compared.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator

from perdured.contract.checkpoint.manifest import FileEntry

from .store import Store

PART = 16 << 20
_MOST_PARTS = 9_000  # S3 takes 10,000


class DamagedHere(Exception):
    """The local file is not what its manifest says, or is gone. It must not go anywhere."""


class DamagedThere(Exception):
    """The object is not what the manifest says."""


class ETag:
    """The ETag of the bytes it is fed, as S3 computes it: of one request, or of an upload in parts."""

    def __init__(self, length: int) -> None:
        self._part_size = part_size(length)
        self._is_parted = is_parted(length)
        self._part = hashlib.md5(usedforsecurity=False)
        self._ended: list[str] = []
        self._room = self._part_size

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not self._room:
                self._end_part()
            piece = view[: self._room]
            self._part.update(piece)
            self._room -= len(piece)
            view = view[len(piece) :]

    @property
    def text(self) -> str:
        if not self._is_parted:
            return self._part.hexdigest()
        return combine([*self._ended, self._part.hexdigest()])

    def _end_part(self) -> None:
        self._ended.append(self._part.hexdigest())
        self._part = hashlib.md5(usedforsecurity=False)
        self._room = self._part_size


def combine(parts: Iterable[str]) -> str:
    """The ETag of an object that was put together from parts with these."""
    digests = [bytes.fromhex(part) for part in parts]
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def is_parted(length: int) -> bool:
    """Whether a file of this length goes up in parts."""
    return length > PART


def part_size(length: int) -> int:
    """Bytes of a part, so that a file of any length has few enough."""
    return PART * max(1, -(-length // (PART * _MOST_PARTS)))


def read_checked(descriptor: int, file: FileEntry, chunk_size: int) -> Iterator[bytes]:
    """The file's chunks, each compared with the manifest before it is handed on. DamagedHere at the first wrong one."""
    if os.fstat(descriptor).st_size != file.length:
        raise DamagedHere(f"{file.name} has another length than was written")
    for number, expected in enumerate(file.checksums):
        data = os.pread(descriptor, min(chunk_size, file.length - number * chunk_size), number * chunk_size)
        if f"{zlib.crc32(data):08x}" != expected:
            raise DamagedHere(f"{file.name} has other bytes than were written: chunk {number}")
        yield data


def fetch_chunk(store: Store, key: str, file: FileEntry, chunk_size: int, number: int) -> bytes:
    """One chunk of an object. Read again once, as it may have been damaged on the way; then DamagedThere."""
    start = number * chunk_size
    for _ in range(2):
        data = store.read_range(key, start, min(chunk_size, file.length - start))
        if f"{zlib.crc32(data):08x}" == file.checksums[number]:
            return data
    raise DamagedThere(f"{file.name} has other bytes than were written: chunk {number}, at byte {start}")


def prove_by_reading(store: Store, key: str, file: FileEntry, chunk_size: int) -> None:
    """DamagedThere if a chunk is wrong. An empty file is proven by its length."""
    for number in range(len(file.checksums)):
        fetch_chunk(store, key, file, chunk_size, number)
