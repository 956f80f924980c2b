"""A safetensors file: eight bytes of length, a JSON header, and the tensors, without a gap. It has no checksums."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .judged import Judged, Problem

_MAX_HEADER = 100_000_000
"""The library's own limit."""


def judge_safetensors(path: Path) -> Judged:
    try:
        _check(path)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return Judged("safetensors", (Problem(path.name, f"is cut short or damaged: {error}"),))
    return Judged("safetensors")


def _check(path: Path) -> None:
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        size = int.from_bytes(file.read(8), "little")
        if length < 8 or size > min(_MAX_HEADER, length - 8):
            raise ValueError("its header does not fit into it")
        header = json.loads(file.read(size))
    spans = sorted(tuple(entry["data_offsets"]) for name, entry in header.items() if name != "__metadata__")
    end = 0
    for begin, after in spans:
        if begin != end or after < begin:
            raise ValueError(f"its tensors do not follow each other at byte {end}")
        end = after
    if 8 + size + end != length:
        raise ValueError(f"it has {length} bytes, and its header speaks of {8 + size + end}")
