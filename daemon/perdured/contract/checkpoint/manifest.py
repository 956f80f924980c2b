"""MANIFEST.json: what a checkpoint holds, byte by byte, and what was true when it was taken.

It is read by programs that did not write it, from directories that other people can write to: sizes are capped, names
are plain relative paths, every field has its type checked. Unknown keys are ignored, so that fields can be added; a
change that an old reader must not overlook raises `format`, and the old reader then says so (`NewerFormat`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from perdured.contract.checkpoint.layout import CHUNK_SIZE, COMMIT, FORMAT_VERSION, MANIFEST
from perdured.contract.strictjson import parse_json

MAX_BYTES = 8 << 20  # the checksums of 12 TB
MAX_FILES = 100_000
MAX_DEPTH = 16
_MAX_INT = 1 << 63
_ALGORITHMS = {"crc32": re.compile(r"[0-9a-f]{8}")}

T = TypeVar("T")


class NewerFormat(ValueError):
    """Not garbage: a later Perdure wrote this, and this one must not judge it."""


@dataclass(frozen=True)
class FileEntry:
    """One payload file: its path below the checkpoint with `/`, its bytes, and a checksum in hex for each chunk."""

    name: str
    length: int
    checksums: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """What the writer says of the state it saves. `created_at` is Unix time, for display only."""

    job: str | None
    attempt: int | None
    series: str
    healthy: bool = True
    position: Mapping[str, int] | None = None
    created_at: float = 0.0


@dataclass(frozen=True)
class Manifest:
    step: int
    seq: int
    facts: Facts
    files: tuple[FileEntry, ...]
    algorithm: str = "crc32"
    chunk_size: int = CHUNK_SIZE


def format_manifest(m: Manifest) -> bytes:
    """The manifest's bytes. ValueError if `parse_manifest` would refuse them."""
    facts = m.facts
    fields = {
        "format": FORMAT_VERSION,
        "step": m.step,
        "seq": m.seq,
        "series": facts.series,
        "job": facts.job,
        "attempt": facts.attempt,
        "healthy": facts.healthy,
        "position": None if facts.position is None else dict(facts.position),
        "created_at": float(facts.created_at),
        "algorithm": m.algorithm,
        "chunk_size": m.chunk_size,
        "files": [{"name": f.name, "length": f.length, "checksums": list(f.checksums)} for f in m.files],
    }
    data = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode("utf-8") + b"\n"
    parse_manifest(data)
    return data


def parse_manifest(data: bytes) -> Manifest:
    """The manifest of these bytes. Errors: ValueError with the reason; NewerFormat if a later Perdure wrote it."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    fields = parse_fields(data)
    algorithm = _field(fields, "algorithm", str)
    if algorithm not in _ALGORITHMS:
        raise NewerFormat(f"its checksums are {_printable(algorithm)}, and this Perdure knows only crc32")
    chunk_size = _count(fields, "chunk_size", least=1)
    files = tuple(_parse_file(entry, algorithm, chunk_size) for entry in _field(fields, "files", list))
    check_names(file.name for file in files)
    return Manifest(_count(fields, "step"), _count(fields, "seq"), _parse_facts(fields), files, algorithm, chunk_size)


def parse_fields(data: bytes) -> dict[str, object]:
    """The object in MANIFEST.json or COMMIT. Errors as for `parse_manifest`.

    The rule that every format keeps, so that an old reader can tell: `format` is a number that only grows.
    """
    fields: dict[str, object] = _expect(parse_json(data), dict, "it")
    version = _count(fields, "format", least=1)
    if version > FORMAT_VERSION:
        raise NewerFormat(f"written by a newer Perdure (format {version}); this one reads up to {FORMAT_VERSION}")
    return fields


def _parse_facts(fields: Mapping[str, object]) -> Facts:
    position = _optional(fields, "position", dict)
    created_at = fields.get("created_at")
    series = _field(fields, "series", str)
    if not series or not series.isprintable():
        raise ValueError("series is not a printable name")
    return Facts(
        job=_optional(fields, "job", str),
        attempt=None if fields.get("attempt") is None else _count(fields, "attempt"),
        series=series,
        healthy=_field(fields, "healthy", bool),
        position=None if position is None else {str(key): _count(position, key) for key in position},
        created_at=_expect(float(created_at) if type(created_at) is int else created_at, float, "created_at"),
    )


def _parse_file(value: object, algorithm: str, chunk_size: int) -> FileEntry:
    fields = _expect(value, dict, "an entry of files")
    name = _field(fields, "name", str)
    length = _count(fields, "length")
    checksums = _field(fields, "checksums", list)
    if len(checksums) != -(-length // chunk_size):
        raise ValueError(f"{_printable(name)}: {len(checksums)} checksums for {length} bytes")
    if not all(type(text) is str and _ALGORITHMS[algorithm].fullmatch(text) for text in checksums):
        raise ValueError(f"{_printable(name)}: a checksum is not {algorithm} in lower-case hex")
    return FileEntry(name, length, tuple(checksums))


# Names -----------------------------------------------------------------------------------------------------------


def check_names(names: Iterable[str]) -> None:
    """ValueError unless the names can be files of one checkpoint: relative, plain, distinct, none inside another."""
    seen: set[str] = set()
    for name in names:
        _check_name(name)
        if name in seen:
            raise ValueError(f"{name} appears twice")
        seen.add(name)
    if not seen:
        raise ValueError("there are no files")
    if len(seen) > MAX_FILES:
        raise ValueError(f"more than {MAX_FILES} files")
    for inner in seen & parents_of(seen):
        raise ValueError(f"{inner} is both a file and a directory")


def _check_name(name: str) -> None:
    parts = name.split("/")
    if not name.isprintable() or "\\" in name:
        raise ValueError(f"{_printable(name)}: a name has only printable characters and no backslash")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{name!r}: a name is a plain relative path")
    if len(parts) > MAX_DEPTH or any(len(part.encode("utf-8")) > 255 for part in parts):
        raise ValueError(f"{name[:80]}…: too long or too deep")
    if len(parts) == 1 and name.casefold() in (MANIFEST.casefold(), COMMIT.casefold()):
        raise ValueError(f"{name} is not a name for a payload file")


def parents_of(names: Iterable[str]) -> set[str]:
    """Every directory that these files need, below the checkpoint."""
    return {name[:index] for name in names for index, letter in enumerate(name) if letter == "/"}


# Fields ----------------------------------------------------------------------------------------------------------


def _expect(value: object, kind: type[T], what: str) -> T:
    if type(value) is not kind:
        raise ValueError(f"{what} is not of type {kind.__name__}")
    return value


def _field(fields: Mapping[str, object], key: str, kind: type[T]) -> T:
    if key not in fields:
        raise ValueError(f"{key} is missing")
    return _expect(fields[key], kind, key)


def _optional(fields: Mapping[str, object], key: str, kind: type[T]) -> T | None:
    return None if fields.get(key) is None else _field(fields, key, kind)


def _count(fields: Mapping[str, object], key: str, *, least: int = 0) -> int:
    value = _field(fields, key, int)
    if not least <= value < _MAX_INT:
        raise ValueError(f"{_printable(key)} is out of range")
    return value


def _printable(text: str) -> str:
    """A name from outside, safe to show in a terminal."""
    return text[:80] if text.isprintable() else ascii(text[:80])
