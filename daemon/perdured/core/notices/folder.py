"""One file in the folder of notices is one notice; removing it withdraws the notice. Pure.

The file may be empty. Otherwise it is a JSON object or lines of `key = value`:

| key | |
|---|---|
| `deadline` | a time (RFC 3339), or a duration that counts from the file's own time ("30s") |
| `why` | words |
| `kind`, `follows`, `disk`, `sureness` | as in a notice |

A file that cannot be read is a notice all the same: somebody put it there to say that something ends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

from perdured.core.units import parse_duration

from .answer import Failed, Look, cut_raw, shorten
from .notice import ENDING, KINDS, Disk, Follows, Notice, Sureness, make_notice_id
from .times import parse_rfc3339

GUESS = 30.0
"""Seconds, where the file does not say."""
KEYS = ("deadline", "why", "kind", "follows", "disk", "sureness")
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "kind": KINDS,
    "follows": get_args(Follows),
    "disk": get_args(Disk),
    "sureness": get_args(Sureness),
}


class File(NamedTuple):
    name: str
    text: str
    written_at: float


def parse_file(file: File, look: Look) -> Notice:
    """Raises Failed where its text makes no sense; `make_unread` makes a notice of it then."""
    said = _read_keys(file.text)
    deadline, sureness = _find_deadline(said.get("deadline"), file), said.get("sureness", "exact")
    if deadline is None and said.get("follows", "power_off") in ENDING:
        deadline, sureness = file.written_at + GUESS, "guess"
    given = {name: value for name, value in said.items() if value}
    return Notice.model_validate(_make_bare(file, look) | given | {"deadline": deadline, "sureness": sureness})


def make_unread(file: File, look: Look, why: str) -> Notice:
    bare = _make_bare(file, look)
    return Notice.model_validate(bare | {"why": f"{bare['why']}, which cannot be read: {why}"})


def is_notice_file(name: str) -> bool:
    """Others are on their way: they are renamed once they are whole."""
    return not name.startswith(".") and not name.endswith((".tmp", ".part", "~"))


def _make_bare(file: File, look: Look) -> dict[str, Any]:
    return {
        "id": make_notice_id("folder", file.name),
        "kind": "drain",
        "source": "folder",
        "why": f"the file {file.name} in the folder of notices",
        "deadline": file.written_at + GUESS,
        "sureness": "guess",
        "follows": "power_off",
        "received_at": look.at,
        "boot_id": look.boot_id,
        "raw": cut_raw(file.text),
    }


def _read_keys(text: str) -> dict[str, str]:
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else _read_lines(text)
    except (ValueError, RecursionError):
        raise Failed(f"no JSON: {shorten(text)}") from None
    for key, value in found.items():
        if key not in KEYS:
            raise Failed(f"unknown key {key!r}")
        if not isinstance(value, str) or value not in _CHOICES.get(key, (value,)):
            raise Failed(f"{key} cannot be {value!r}")
    return {str(key): value for key, value in found.items()}


def _read_lines(text: str) -> dict[str, str]:
    pairs = [line.partition("=") for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not all(equals for _, equals, _ in pairs):
        raise Failed("its lines are not key = value")
    return {key.strip(): value.strip().strip('"') for key, _, value in pairs}


def _find_deadline(text: str | None, file: File) -> float | None:
    if text is None:
        return None
    at = parse_rfc3339(text)
    if at is not None:
        return at
    try:
        return file.written_at + parse_duration(text.lstrip("+ "))
    except ValueError:
        raise Failed(f"its deadline is neither a time nor a duration: {shorten(text)}") from None
