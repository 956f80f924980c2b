"""Files of torch.save: a zip (also Lightning's `.ckpt`), or the format from before PyTorch 1.6."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from .judged import Judged, Problem
from .pickles import PERSISTENT, read_values

ZIP_MAGIC = b"PK"
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)
_BLOCK = 4 << 20
_MAX_PICKLE = 256 << 20
_PARTS = 3
"""The least that an archive of torch.save has: what was saved, the byte order, the version."""
_SIZES = {"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1} | {
    "Bool": 1,
    "ComplexFloat": 8,
    "ComplexDouble": 16,
}


def judge_zip(path: Path) -> Judged:
    with path.open("rb") as file:
        problem = find_zip_problem(file)
        if problem is not None:
            return Judged("torch.save", (Problem(path.name, problem),), has_checksums=True)
        kind, step, has_checksums = *_recognise(file), not _is_without_checksums(file)
    return Judged(kind, (), step, has_checksums)


def find_zip_problem(file: BinaryIO) -> str | None:
    """Every byte of every part is read. None when all is well, also where torch was told to write no checksums: then
    every part has a wrong one."""
    try:
        with zipfile.ZipFile(file) as archive:
            wrong = [info.filename for info in archive.infolist() if not _is_part_whole(archive, info)]
            is_off = len(wrong) == len(archive.infolist()) >= _PARTS
    except BAD_ZIP as error:
        return f"is cut short or damaged: {error}"
    return f"has other bytes than were written, in its part {wrong[0]}" if wrong and not is_off else None


def _is_part_whole(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(info) as part:
            while part.read(_BLOCK):
                pass
    except zipfile.BadZipFile as error:
        if "CRC" not in str(error):
            raise
        return False
    return True


def _is_without_checksums(file: BinaryIO) -> bool:
    """Of an archive that is whole otherwise."""
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        return len(infos) >= _PARTS and not _is_part_whole(archive, min(infos, key=lambda info: info.file_size))


def _recognise(file: BinaryIO) -> tuple[str, int | None]:
    """Lightning's files say their step; its other values are not looked at."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [info for info in archive.infolist() if info.filename.endswith("/data.pkl")]
            if not names or names[0].file_size > _MAX_PICKLE:
                return "torch.save", None
            with archive.open(names[0]) as pickle:
                values = read_values(cast(BinaryIO, pickle))
    except BAD_ZIP:
        return "torch.save", None
    if "pytorch-lightning_version" not in values or "global_step" not in values:
        return "torch.save", None
    step = values[values.index("global_step") + 1]
    return "Lightning", step if isinstance(step, int) and step >= 0 else None


def judge_legacy(path: Path) -> Judged:
    try:
        with path.open("rb") as file:
            _walk_legacy(file, os.fstat(file.fileno()).st_size)
    except (ValueError, EOFError, struct.error, IndexError) as error:
        return Judged("torch.save, old format", (Problem(path.name, f"is cut short or damaged: {error}"),))
    return Judged("torch.save, old format")


def _walk_legacy(file: BinaryIO, length: int) -> None:
    """Five pickles (the fourth is what was saved, the fifth the keys of its storages), then the storages."""
    for _ in range(3):
        read_values(file)
    sizes = dict(_find_storages(read_values(file)))
    keys = [str(value) for value in read_values(file)]
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        if sizes.get(key) is None:
            return  # of a kind that is not known here: where it ends cannot be said
        end = file.tell() + count * sizes[key]
        if count < 0 or end > length:
            raise ValueError(f"it ends at byte {length}, within the tensor {key}")
        file.seek(end)
    if file.tell() != length:
        raise ValueError(f"{length - file.tell()} bytes follow its end")


def _find_storages(values: list[object]) -> Iterator[tuple[str, int]]:
    for index, value in enumerate(values):
        if value is PERSISTENT and index >= 5 and values[index - 5] == "storage":
            kind = str(values[index - 4]).rsplit(" ", 1)[-1].removesuffix("Storage")
            with suppress(KeyError):
                yield str(values[index - 3]), _SIZES[kind]


def find_pairs(values: list[object], key: str) -> Iterator[tuple[int, object]]:
    """Where a key stands, and the value after it."""
    for index, (value, after) in enumerate(zip(values, islice(values, 1, None), strict=False)):
        if value == key:
            yield index, after
