"""One pass over a file: every byte verified, and put where it is wanted."""

from __future__ import annotations

import os
import random
import zlib
from pathlib import Path

import pytest

from perdured.contract.checkpoint import FileEntry, chunks
from perdured.contract.checkpoint.chunks import Target, find_wrong_chunk

CHUNK = 1000


def entry(data: bytes) -> FileEntry:
    sums = tuple(f"{zlib.crc32(data[at : at + CHUNK]):08x}" for at in range(0, len(data), CHUNK))
    return FileEntry("file", len(data), sums)


def read(path: Path, file: FileEntry, *targets: Target) -> int | None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return find_wrong_chunk(descriptor, file, CHUNK, targets)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("seed", range(200))
def test_any_ranges_are_filled_with_their_bytes(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(chunks, "PIECE_SIZE", chance.choice([1, 7, 256, 1 << 20]))
    data = chance.randbytes(chance.choice([0, 1, 999, 1000, 1001, 5432]))
    (tmp_path / "file").write_bytes(data)
    cuts = sorted(chance.choices(range(len(data) + 1), k=2 * chance.randrange(8)))
    ranges = list(zip(cuts[::2], cuts[1::2], strict=True))
    targets = [Target(begin, memoryview(bytearray(end - begin))) for begin, end in ranges]
    chance.shuffle(targets)
    assert read(tmp_path / "file", entry(data), *targets) is None
    for begin, memory in targets:
        assert bytes(memory) == data[begin : begin + len(memory)], f"seed {seed}"


@pytest.mark.parametrize("number", [0, 1, 4, 5])
def test_the_first_wrong_chunk_is_named(number: int, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(5432)
    damaged = bytearray(data)
    for at in range(number * CHUNK, len(data), CHUNK):
        damaged[at] ^= 4
    (tmp_path / "file").write_bytes(damaged)
    assert read(tmp_path / "file", entry(data)) == number
    assert read(tmp_path / "file", entry(data), Target(0, memoryview(bytearray(5432)))) == number


@pytest.mark.parametrize("length", [0, 1, 3999, 5431])
def test_a_file_that_ends_early_is_wrong_where_it_ends(length: int, tmp_path: Path) -> None:
    data = random.Random(2).randbytes(5432)
    (tmp_path / "file").write_bytes(data[:length])
    assert read(tmp_path / "file", entry(data), Target(10, memoryview(bytearray(5000)))) == length // CHUNK
