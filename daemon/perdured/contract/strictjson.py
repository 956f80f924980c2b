"""JSON as data from somebody else: refused with a reason, never trusted, never a way to eat all memory.

`json.loads` alone takes NaN, keeps the last of two equal keys, guesses UTF-16, and turns 8 MiB of `[[],[],…` into
hundreds of megabytes. Everything that Perdure reads back from a disk goes through here instead.
"""

from __future__ import annotations

import json
import math

_MAX_CONTAINERS = 400_000  # objects and arrays; a hundred thousand files in one manifest need half of that
_MAX_DIGITS = 20  # 2**63 has 19; an int of a million digits would take minutes to read


def parse_json(data: bytes) -> object:
    """The value of one JSON text in UTF-8.

    Errors: ValueError with the reason, for anything that is not strict JSON, has a key twice, a number that is not
    finite or has over 20 digits, over 400,000 containers, or nests too deep.
    """
    if data.count(b"{") + data.count(b"[") > _MAX_CONTAINERS:
        raise ValueError("too many objects and arrays")
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_parse_pairs,
            parse_int=_parse_int,
            parse_float=_parse_float,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from None


def _parse_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key appears twice")
    return value


def _parse_int(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError("a number is too long")
    return int(text)


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is not JSON")
