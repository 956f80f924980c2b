"""The former attempt's last snapshot, where its memory is still held: the nearest tier to go on from.

The checkpoint is chosen on the disk, as always, and its manifest says which bytes are right. Where the snapshot in
memory has the same bytes, chunk by chunk, they are taken from there; where it has not, for whatever reason, the disk is
read. So memory makes a start faster and never another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from perdured.contract import environment
from perdured.contract.checkpoint import FileEntry, Manifest, Target
from perdured.contract.checkpoint.arena import SLOTS, Arena, open_sealed
from perdured.contract.checkpoint.chunks import find_wrong_chunk


class Memory:
    """Of an attempt that has ended; or nothing at all."""

    def __init__(self, arena: Arena | None) -> None:
        self._arena = arena

    def read(self, manifest: Manifest, file: FileEntry, targets: tuple[Target, ...]) -> bool:
        """Fill the targets. False if the bytes that the manifest tells of are not here: the targets hold anything."""
        if self._arena is None:
            return False
        with suppress(OSError):
            for start in _find(self._arena, manifest.step, file):
                wrong = find_wrong_chunk(self._arena.descriptor, file, manifest.chunk_size, targets, start=start)
                if wrong is None:
                    return True
        return False


@contextmanager
def open_memory() -> Iterator[Memory]:
    """What the daemon has told this attempt of."""
    arena = _open(os.environ.get(environment.MEMORY))
    try:
        yield Memory(arena)
    finally:
        if arena is not None:
            arena.close()


def _find(arena: Arena, step: int, file: FileEntry) -> Iterator[int]:
    """Where in the arena the file may begin: there are as many bytes of that name, in a snapshot of that step."""
    for number in range(SLOTS):
        snapshot = arena.read(number)
        for part in snapshot.parts if snapshot is not None and snapshot.step == step else ():
            if (part.name, part.length) == (file.name, file.length):
                yield arena.begin_of(number) + part.begin


def measure_memory() -> int:
    """Bytes that are still held, and will be given back when this attempt has made its first step."""
    with suppress(OSError):
        path = os.environ.get(environment.MEMORY)
        return os.stat(path).st_size if path is not None else 0
    return 0


def _open(path: str | None) -> Arena | None:
    descriptor = open_sealed(path) if path is not None else None
    if descriptor is None:
        return None
    try:
        return Arena(descriptor, is_writer=False)
    except (OSError, ValueError):  # other memory
        os.close(descriptor)
        return None
