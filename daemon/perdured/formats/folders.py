"""Folders: `checkpoint-N/` of Hugging Face's Trainer, and directories of torch.distributed.checkpoint (DCP).

The Trainer writes `trainer_state.json` last, DCP its `.metadata`: without it the folder is not finished, or never
will be.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .archive import ZIP_MAGIC, find_pairs, find_zip_problem
from .judged import Judged, Problem
from .pickles import read_values

TRAINER_STATE = "trainer_state.json"
DCP_METADATA = ".metadata"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "adapter_model.safetensors", "adapter_model.bin")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_MAX_JSON = 64 << 20


def find_hugging_face_problems(folder: Path) -> Iterator[Problem]:
    """What is not there. Its files are judged each by itself."""
    if find_step(folder) is None:
        yield Problem(TRAINER_STATE, "is missing, or does not say its global_step: the folder was not finished")
    indexes = [name for name in _INDEXES if (folder / name).exists()]
    for index in indexes:
        yield from _find_missing_shards(folder, index)
    has_parts = any(folder.glob("pytorch_model_fsdp_*")) or any(folder.glob("global_step*"))
    if not indexes and not has_parts and not any((folder / name).exists() for name in _WEIGHTS):
        yield Problem(_WEIGHTS[0], "is missing, and so is every other file of weights")


def _find_missing_shards(folder: Path, index: str) -> Iterator[Problem]:
    weights = _load_json(folder / index).get("weight_map")
    if not isinstance(weights, dict) or not weights:
        yield Problem(index, "is cut short or damaged: it names no shards")
        return
    for shard in sorted({str(name) for name in weights.values()}):
        if not (folder / shard).is_file():
            yield Problem(shard, f"is missing, and {index} names it")


def find_step(folder: Path) -> int | None:
    step = _load_json(folder / TRAINER_STATE).get("global_step")
    return step if isinstance(step, int) and step >= 0 else None


def _load_json(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            loaded = json.loads(file.read(_MAX_JSON))
    except (OSError, ValueError, RecursionError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def judge_dcp(folder: Path) -> Judged:
    return Judged("DCP", tuple(dict.fromkeys(_find_dcp_problems(folder))), has_checksums=True)


def _find_dcp_problems(folder: Path) -> Iterator[Problem]:
    try:
        with (folder / DCP_METADATA).open("rb") as file:
            pieces = sorted(set(_find_pieces(read_values(file))))
    except FileNotFoundError:
        yield Problem(DCP_METADATA, "is missing: the folder was not finished")
        return
    except ValueError as error:
        yield Problem(DCP_METADATA, f"is cut short or damaged: {error}")
        return
    if not pieces:
        yield Problem(DCP_METADATA, "names no files")
    for name, offset, length in pieces:
        problem = _find_piece_problem(folder / name, offset, length)
        if problem is not None:
            yield Problem(name, problem)


def _find_pieces(values: list[object]) -> Iterator[tuple[str, int, int]]:
    """File, offset and length of each piece, as torch's `_StorageInfo` has them one after the other."""
    for index, name in find_pairs(values, "relative_path"):
        match values[index + 2 : index + 6]:
            case ["offset", int(offset), "length", int(length)] if isinstance(name, str) and _is_plain(name):
                yield name, offset, length
            case _:
                raise ValueError("it is of a form that is not known")


def _is_plain(name: str) -> bool:
    return not os.path.isabs(name) and ".." not in Path(name).parts


def _find_piece_problem(path: Path, offset: int, length: int) -> str | None:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if offset < 0 or length < 0 or offset + length > size:
                return f"has {size} bytes, and {DCP_METADATA} speaks of {offset + length}"
            file.seek(offset)
            is_zip = file.read(2) == ZIP_MAGIC
            return find_zip_problem(io.BufferedReader(_Part(file, offset, length))) if is_zip else None
    except FileNotFoundError:
        return f"is missing, and {DCP_METADATA} names it"


class _Part(io.RawIOBase):
    """Some bytes of a file as a file of its own."""

    def __init__(self, file: BinaryIO, offset: int, length: int) -> None:
        self._file, self._offset, self._length, self._at = file, offset, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        if start + offset < 0:
            raise ValueError("before the beginning")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        self._file.seek(self._offset + self._at)
        data = self._file.read(max(0, min(len(view), self._length - self._at)))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)
