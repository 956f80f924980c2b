"""One file of a checkpoint becomes the right object on the remote.

What is there and right stays. What arrived in parts of an upload that was cut short is used, and the rest of it is sent
(`parts`). Otherwise the file is sent. Each chunk is compared with the manifest before it goes, and what arrived is
proven (`proving`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from perdured.contract.checkpoint.manifest import FileEntry

from .pace import Pace
from .parts import Refused, Unfinished
from .proving import DamagedThere, ETag, combine, is_parted, part_size, prove_by_reading, read_checked
from .store import CONCURRENT, Object, Store
from .trouble import Trouble


class Source(NamedTuple):
    """A file that is open."""

    file: FileEntry
    descriptor: int
    chunk_size: int

    def read(self) -> Iterator[bytes]:
        return read_checked(self.descriptor, self.file, self.chunk_size)


class Sent(NamedTuple):
    etag: str
    size: int
    """Bytes that went over the line for it."""
    is_right: bool = True
    """The ETag is that of the right bytes. Where it is not, the store may only make its own ETags."""


PutPart = Callable[[int, bytes], None]


class Sender:
    """`unfinished` are uploads that were cut short, by their key; those that were used are taken out."""

    def __init__(self, store: Store, pace: Pace, unfinished: dict[str, Unfinished]) -> None:
        self._store = store
        self._pace = pace
        self._unfinished = unfinished

    def bring_up(self, key: str, source: Source, there: Object | None) -> Sent:
        """`there`: what has the key already."""
        if there is not None and there.size == source.file.length and self._is_right(key, source, there):
            self._pace.note(source.file.length)
            return Sent(there.etag, 0)
        sent = self._send_in_parts(key, source) or self._send(key, source)
        if not sent.is_right and not self._reads_right(key, source):
            raise say_damaged(self._store, source.file.name)
        return sent

    def _is_right(self, key: str, source: Source, there: Object) -> bool:
        return there.etag == _hash(source) or self._reads_right(key, source)

    def _reads_right(self, key: str, source: Source) -> bool:
        try:
            prove_by_reading(self._store, key, source.file, source.chunk_size)
        except DamagedThere:
            return False
        return True

    def _send(self, key: str, source: Source) -> Sent:
        length, expected = source.file.length, ETag(source.file.length)
        if is_parted(length):
            etag = self._store.put_parts(key, self._pass(source, expected), part_size(length))
        else:
            etag = self._store.put(key, b"".join(self._pass(source, expected)))
        return Sent(etag, length, is_right=etag == expected.text)

    def _pass(self, source: Source, expected: ETag) -> Iterator[bytes]:
        for data in source.read():
            self._pace.spend(len(data))
            expected.update(data)
            yield data
            self._pace.note(len(data))

    def _send_in_parts(self, key: str, source: Source) -> Sent | None:
        """None where that is not done: the file is small, or the store does not take it so."""
        parts, upload = self._store.parts, self._unfinished.pop(key, None)
        if parts is None or not is_parted(source.file.length):
            return None
        try:
            arrived = parts.list_parts(upload) if upload is not None else {}
            upload = upload or parts.begin(key)
            etags, size = self._send_missing(partial(parts.put_part, upload), arrived, source)
            parts.complete(upload, etags)
        except Refused:
            if upload is not None:
                parts.abort(upload)
            return None
        etag = self._store.head(key).etag
        return Sent(etag, size, is_right=etag == combine(etags.values()))

    def _send_missing(self, put: PutPart, arrived: Mapping[int, str], source: Source) -> tuple[dict[int, str], int]:
        """The ETags of all parts, and how many bytes were sent."""
        etags, sent = dict[int, str](), 0
        ahead: deque[Future[None]] = deque()
        with ThreadPoolExecutor(CONCURRENT) as pool:
            for number, data in enumerate(_join(source.read(), part_size(source.file.length)), start=1):
                etags[number] = hashlib.md5(data, usedforsecurity=False).hexdigest()
                if arrived.get(number) != etags[number]:
                    self._pace.spend(len(data))
                    sent += len(data)
                    ahead.append(pool.submit(put, number, data))
                while len(ahead) >= CONCURRENT:
                    ahead.popleft().result()
                self._pace.note(len(data))
            for future in ahead:
                future.result()
        return etags, sent


def find_unfinished(store: Store) -> dict[str, Unfinished]:
    """By their key below the URL; none where they cannot be asked for. Of two with one key the older is aborted."""
    parts, found = store.parts, dict[str, Unfinished]()
    if parts is None:
        return found
    with contextlib.suppress(Refused):
        for upload in parts.list_unfinished():
            key = upload.key.removeprefix(f"{store.folder}/") if store.folder else upload.key
            if key in found:
                parts.abort(found[key])
            found[key] = upload
    return found


def say_damaged(store: Store, file: str) -> Trouble:
    what = f"{store.url} holds other bytes than were sent."
    return Trouble(what, f"{file} was damaged on the way.", "Nothing has to be done: it is sent again.")


def _hash(source: Source) -> str:
    etag = ETag(source.file.length)
    for data in source.read():
        etag.update(data)
    return etag.text


def _join(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of `size`, a multiple of what they come in."""
    held: list[bytes] = []
    for piece in pieces:
        held.append(piece)
        if sum(map(len, held)) >= size:
            yield b"".join(held)
            held = []
    if held:
        yield b"".join(held)
