"""The memory tier: the newest states of a run, in memory that outlives the process which wrote them.

An arena is a memory file with two slots. The training process copies its state into one of them at a step boundary;
the keeper, which holds the same memory, commits a slot to the disk when it is asked to, and the newest complete one
when the process has died without asking.

    0       header: "PERDURE", version (u8), bytes of a slot (u64)
    4096    two records, 16 KiB each: generation (u64), length (u32), CRC-32 (u32), then a JSON text of that length
    36864   two slots, each a whole number of blocks

*A slot is complete while its record is.* Before a byte of a slot is touched its record is wiped; when the last byte is
there the record is written, its generation last. A kill at any instant leaves a record that is wiped, torn (then its
CRC is wrong) or whole; and the other slot as it was. So once there is a snapshot, there always is one.

Two rules for the writer, who alone chooses the slots: never into the slot that is being committed; and of the others,
the one that is not the newest.

The payload files lie in the slot as they will lie on the disk, each at the beginning of a block, so that committing is
one stream of whole blocks, and needs no more than this module to know what is where.

Nothing here is checksummed but the records: both readers run on the machine that wrote, and the checksums of what is
committed are taken on the way out. The file is sealed against being cut or grown, so neither side can take memory away
under the other.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from perdured.contract.checkpoint.gather import BLOCK, Image, round_up
from perdured.contract.checkpoint.manifest import Facts
from perdured.contract.strictjson import parse_json

SLOTS = 2
_HEADER = struct.Struct("<7sBQ")
_MAGIC, _VERSION = b"PERDURE", 1
_RECORD = struct.Struct("<QII")
_RECORD_SIZE = 16 << 10
_RECORDS_AT = BLOCK
_SLOTS_AT = _RECORDS_AT + SLOTS * _RECORD_SIZE
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Part(NamedTuple):
    """One payload file: where it begins in the slot (at a block), and its bytes."""

    name: str
    begin: int
    length: int


class Snapshot(NamedTuple):
    """A state in a slot. Generations count up from 1 over the life of the process."""

    generation: int
    step: int
    parts: tuple[Part, ...]
    facts: Facts


class NoArena(ValueError):
    """Not an arena of this version."""


def open_sealed(path: str) -> int | None:
    """A descriptor of what another process holds, `/proc/PID/fd/N`, if it is this user's and cannot be cut.

    None where it has gone, may not be opened, or is something else: the number was told by somebody, and anything may
    have it by now.
    """
    try:
        descriptor = os.open(path, _OPEN)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # no memory at all
        if os.fstat(descriptor).st_uid == os.geteuid() and _is_sealed(descriptor):
            return descriptor
    os.close(descriptor)
    return None


def _is_sealed(descriptor: int) -> bool:
    """Errors: OSError for what can have no seals."""
    return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS == _SEALS


def measure_arena(slot_size: int) -> int:
    """The bytes of an arena with slots of this size."""
    return _SLOTS_AT + SLOTS * round_up(slot_size)


class Arena:
    """One side's view of the memory. `descriptor` is the arena's from now on."""

    def __init__(self, descriptor: int, *, is_writer: bool) -> None:
        self.descriptor = descriptor
        size = os.fstat(descriptor).st_size
        if not _is_sealed(descriptor):
            raise NoArena("it could be cut while it is read")
        access = mmap.PROT_READ | (mmap.PROT_WRITE if is_writer else 0)
        # The writer's pages are there before the first copy, which would stand still for each of them otherwise.
        flags = mmap.MAP_SHARED | (getattr(mmap, "MAP_POPULATE", 0) if is_writer else 0)
        self._memory = mmap.mmap(descriptor, size, flags, access)
        self._view = memoryview(self._memory)
        magic, version, self.slot_size = _HEADER.unpack_from(self._view)
        if (magic, version) != (_MAGIC, _VERSION) or size != measure_arena(self.slot_size):
            raise NoArena("it is no arena of this version")

    def close(self) -> None:
        """The memory itself lives as long as a view of it, or another process, does."""
        os.close(self.descriptor)

    def begin_of(self, number: int) -> int:
        """Where the slot begins, in bytes from the beginning of the arena."""
        return int(_SLOTS_AT + number * self.slot_size)

    def slot(self, number: int) -> memoryview:
        begin = self.begin_of(number)
        return self._view[begin : begin + self.slot_size]

    def begin(self, number: int) -> None:
        """From now on the slot is not complete."""
        self._view[_record_at(number) : _record_at(number) + _RECORD.size] = bytes(_RECORD.size)

    def finish(self, number: int, snapshot: Snapshot) -> None:
        """Its last byte is there. ValueError if the record is too large, and the slot stays incomplete."""
        body = _format_record(snapshot)
        at = _record_at(number)
        if _RECORD.size + len(body) > _RECORD_SIZE:
            raise ValueError("the record is too large")
        self._view[at + _RECORD.size : at + _RECORD.size + len(body)] = body
        _RECORD.pack_into(self._view, at, 0, len(body), _checksum(snapshot.generation, body))
        struct.pack_into("<Q", self._view, at, snapshot.generation)

    def read(self, number: int) -> Snapshot | None:
        """None if the slot is not complete."""
        at = _record_at(number)
        generation, length, crc = _RECORD.unpack_from(self._view, at)
        body = bytes(self._view[at + _RECORD.size : at + _RECORD.size + min(length, _RECORD_SIZE)])
        if not generation or _checksum(generation, body) != crc:
            return None
        try:
            return _parse_record(body, self.slot_size)
        except (ValueError, TypeError, KeyError):
            return None

    def find_newest(self) -> tuple[int, Snapshot] | None:
        """The slot and what is in it."""
        return max(self._list_complete(), key=lambda pair: pair[1].generation, default=None)

    def find(self, generation: int) -> tuple[int, Snapshot] | None:
        """The same, of the one that is asked for."""
        return next((pair for pair in self._list_complete() if pair[1].generation == generation), None)

    def _list_complete(self) -> list[tuple[int, Snapshot]]:
        return [(number, found) for number in range(SLOTS) if (found := self.read(number)) is not None]

    def images(self, number: int, snapshot: Snapshot) -> Mapping[str, Image]:
        """The payload files of a complete slot, to be committed from where they lie."""
        slot = self.slot(number)
        return {p.name: Image(slot[p.begin : p.begin + round_up(p.length)], p.length) for p in snapshot.parts}


def create_arena(slot_size: int) -> Arena:
    """New memory, all of it allocated. Errors: OSError if there is not so much."""
    descriptor = os.memfd_create("perdure-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(descriptor, 0, measure_arena(slot_size))
        os.pwrite(descriptor, _HEADER.pack(_MAGIC, _VERSION, round_up(slot_size)), 0)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        return Arena(descriptor, is_writer=True)
    except BaseException:
        os.close(descriptor)
        raise


def _record_at(number: int) -> int:
    return _RECORDS_AT + number * _RECORD_SIZE


def _checksum(generation: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(generation.to_bytes(8, "little")))


def _format_record(snapshot: Snapshot) -> bytes:
    facts = snapshot.facts
    fields = {
        "generation": snapshot.generation,
        "step": snapshot.step,
        "parts": [list(part) for part in snapshot.parts],
        "job": facts.job,
        "attempt": facts.attempt,
        "series": facts.series,
        "healthy": facts.healthy,
        "position": None if facts.position is None else dict(facts.position),
        "created_at": facts.created_at,
    }
    return json.dumps(fields).encode("ascii")


def _parse_record(body: bytes, slot_size: int) -> Snapshot:
    fields = parse_json(body)
    if not isinstance(fields, dict):
        raise ValueError("no object")
    parts = tuple(Part(*part) for part in fields["parts"])
    if any(
        part.begin % BLOCK or not 0 <= part.begin <= part.begin + round_up(part.length) <= slot_size for part in parts
    ):
        raise ValueError("a part lies outside of its slot")
    facts = Facts(
        fields["job"], fields["attempt"], fields["series"], fields["healthy"], fields["position"], fields["created_at"]
    )
    return Snapshot(fields["generation"], fields["step"], parts, facts)
