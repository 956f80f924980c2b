"""The safetensors byte layout, written and read by us: a header in JSON, then the bytes of every tensor.

    8 bytes      length of the header, little-endian
    header       {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, …}, then spaces
    data         each tensor in row-major order, without gaps, the widest element first

We write it ourselves because the library wants all tensors as bytes in memory; here they are handed on as they lie.
Tensors begin at a multiple of 64 bytes of the file as long as their sizes allow it, and always at a multiple of their
element. Any reader of safetensors opens the file. Nothing in this module knows torch or NumPy.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from perdured.contract.checkpoint import Target
from perdured.contract.durable import Buffer

BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip

METADATA = "__metadata__"
_ALIGNMENT = 64
_MAX_HEADER = 100_000_000  # the library's own limit


class Block(Protocol):
    """Bytes to be written under a name: a tensor's, or an array's."""

    @property
    def dtype(self) -> str:
        """A key of `BYTES`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def pieces(self) -> Iterator[Buffer]:
        """All bytes in row-major order, taken now."""

    def copy_into(self, target: memoryview) -> None:
        """The same bytes, put where they are wanted; there are some."""

    def is_unchanged(self) -> bool:
        """Whether `pieces` would still give what was there when the block was made."""


class Entry(NamedTuple):
    """Where a tensor lies; offsets are in bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Layout(NamedTuple):
    """Where each block will lie in a file of these blocks."""

    header: bytes
    entries: Mapping[str, Entry]
    """In the order of the file."""
    length: int
    """Bytes of the file."""

    def fits(self, blocks: Mapping[str, Block]) -> bool:
        """Whether these blocks would be laid out in the same way."""
        return self.entries.keys() == blocks.keys() and all(
            (entry.dtype, entry.shape) == (blocks[name].dtype, blocks[name].shape)
            for name, entry in self.entries.items()
        )


def plan_file(blocks: Mapping[str, Block]) -> Layout:
    entries: dict[str, Entry] = {}
    begin = 0
    for name in sorted(blocks, key=lambda name: (-BYTES[blocks[name].dtype], name)):
        block = blocks[name]
        end = begin + math.prod(block.shape) * BYTES[block.dtype]
        entries[name] = Entry(block.dtype, block.shape, begin, end)
        begin = end
    header = _format_header(entries)
    return Layout(header, entries, len(header) + begin)


def format_file(blocks: Mapping[str, Block]) -> Iterator[Buffer]:
    """The bytes of the file, in order. Nothing is copied but what a block copies."""
    layout = plan_file(blocks)
    yield layout.header
    for name in layout.entries:
        yield from blocks[name].pieces()


def copy_file(layout: Layout, blocks: Mapping[str, Block], target: memoryview) -> None:
    """The same bytes, put into memory: one copy of each block, from where it lies to where it belongs."""
    start = len(layout.header)
    target[:start] = layout.header
    for name, entry in layout.entries.items():
        if entry.end > entry.begin:
            blocks[name].copy_into(target[start + entry.begin : start + entry.end])


def _format_header(entries: Mapping[str, Entry]) -> bytes:
    header: dict[str, object] = {METADATA: {"format": "pt"}}
    for name, entry in entries.items():
        header[name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [entry.begin, entry.end]}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-(len(text) + 8) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


class TensorSource(Protocol):
    """What a tree is decoded from."""

    @property
    def entries(self) -> Mapping[str, Entry]: ...

    def read_into(self, name: str, target: memoryview) -> None:
        """Fill `target` with the bytes of a tensor, which must be exactly as many: now, or with all others."""

    def when_read(self, do: Callable[[], object]) -> None:
        """`do` it when all that was asked for so far has been read."""


class TensorFile:
    """A file open for reading. Errors: OSError; ValueError for what is not this layout."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = open(path, "rb", buffering=0)  # noqa: SIM115  closed by `close`
        self.entries: Mapping[str, Entry]
        try:
            self.entries, self.head = _parse_header(self._file)
        except BaseException:
            self._file.close()
            raise

    def read_into(self, name: str, target: memoryview) -> None:
        entry = self.entries[name]
        _check_size(name, entry, target)
        self._file.seek(len(self.head) + entry.begin)
        while target.nbytes:
            count = self._file.readinto(target)  # type: ignore[attr-defined]  # a raw file has it
            if not count:
                raise ValueError(f"{name}: the file ends early")
            target = target[count:]

    def when_read(self, do: Callable[[], object]) -> None:
        do()

    def close(self) -> None:
        self._file.close()


class OnePass:
    """Gathers what is wanted of a file, so that it can be read from one end to the other. `finish` it after that."""

    def __init__(self, file: TensorFile) -> None:
        self.entries = file.entries
        self._head = file.head
        self._found = bytearray(len(file.head))
        self._wanted: dict[str, memoryview] = {}
        self._afterwards: list[Callable[[], object]] = []

    def read_into(self, name: str, target: memoryview) -> None:
        _check_size(name, self.entries[name], target)
        first = self._wanted.setdefault(name, target)
        if first is not target:
            self._afterwards.append(lambda: _copy(target, first))

    def when_read(self, do: Callable[[], object]) -> None:
        self._afterwards.append(do)

    def targets(self) -> tuple[Target, ...]:
        start = len(self._head)
        head = Target(0, memoryview(self._found))
        return (head, *(Target(start + self.entries[name].begin, memory) for name, memory in self._wanted.items()))

    def has_same_head(self) -> bool:
        """Whether what was read begins as the file from which it is known what lies where."""
        return self._found == self._head

    def finish(self) -> None:
        for do in self._afterwards:
            do()


def _copy(target: memoryview, source: memoryview) -> None:
    target[:] = source


def _check_size(name: str, entry: Entry, target: memoryview) -> None:
    if target.nbytes != entry.end - entry.begin:
        raise ValueError(f"{name}: {entry.end - entry.begin} bytes where {target.nbytes} are expected")


def _parse_header(file: BinaryIO) -> tuple[dict[str, Entry], bytes]:
    """The entries, and the bytes up to the first tensor."""
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if size < 8 or length > min(size - 8, _MAX_HEADER):
        raise ValueError("the header is longer than the file")
    text = file.read(length)
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("the header is no object")
    entries = {name: _parse_entry(name, fields) for name, fields in header.items() if name != METADATA}
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != end:
            raise ValueError(f"{name}: begins at {entry.begin} instead of {end}")
        end = entry.end
    if end != size - 8 - length:
        raise ValueError(f"{size - 8 - length} bytes of data where the header has {end}")
    return entries, prefix + text


def _parse_entry(name: str, fields: object) -> Entry:
    try:
        assert isinstance(fields, dict)
        dtype, shape, (begin, end) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
        is_right = end - begin == math.prod(shape) * BYTES[dtype] and min(begin, *shape, 0) == 0
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: not an entry of a header") from error
    if not is_right:
        raise ValueError(f"{name}: its shape does not match its size")
    return Entry(dtype, shape, begin, end)
