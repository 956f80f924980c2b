"""Durations, sizes and shares as people write and read them."""

from __future__ import annotations

import math
import re

_SECONDS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_NUMBER_AND_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_PART_OF_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


def parse_duration(text: str) -> float:
    """Seconds of "90s", "10min", "1h30min", "2d"; ValueError for anything else."""
    rest, seconds = text.strip(), 0.0
    if not rest:
        raise ValueError("empty")
    while rest:
        part = _PART_OF_DURATION.match(rest)
        if part is None or part.group(2) not in _SECONDS:
            raise ValueError(f"not a duration: {text!r}")
        seconds += float(part.group(1)) * _SECONDS[part.group(2)]
        rest = rest[part.end() :]
    if math.isinf(seconds):
        raise ValueError("longer than can be counted")
    return seconds


def parse_size(text: str) -> int:
    """Bytes of "16GiB", "512 MiB", "1GB"; ValueError for anything else."""
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or match.group(2) not in _BYTES:
        raise ValueError(f"not a size: {text!r}")
    size = float(match.group(1)) * _BYTES[match.group(2)]
    if math.isinf(size):
        raise ValueError("more than can be counted")
    return int(size)


def human_duration(seconds: float) -> str:
    """ "0.4 s", "8 s", "2 min 5 s", "3 h 20 min", "2 d 4 h": at most two units, rounded to the smaller."""
    if seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for unit, size, smaller, smaller_size in (
        ("min", 60, "s", 1),
        ("h", 3600, "min", 60),
        ("d", 86400, "h", 3600),
    ):
        count, rest = divmod(round(seconds / smaller_size), size // smaller_size)
        if unit == "d" or count * size < {"min": 3600, "h": 86400}[unit]:
            return f"{count} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError("unreachable: days have no upper end")


def human_size(size: int) -> str:
    """ "812 B", "1.4 MiB", "24 GiB"."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1023.5 or unit == "TiB":
            break
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"
