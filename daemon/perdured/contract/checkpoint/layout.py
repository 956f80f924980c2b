"""The names in a directory of checkpoints.

    step-000000001200-000007/     a checkpoint, once it holds COMMIT
    .tmp-000008-<12 hex>/         one being written
    .trash-000003-<12 hex>/       one being deleted
    .seq-000008                   a claim: sequence numbers up to 8 are taken, and a lock that its writer holds
    quarantine/                   checkpoints that were set aside, each with its reason
    .lock                         held by the `perdure.Run` that writes here
    .keeper                       held by the keeper of the attempt that writes here, whatever its program is

Ordered by (step, seq), never by time: clocks jump. Anything else in the directory is somebody else's and stays.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MANIFEST = "MANIFEST.json"
COMMIT = "COMMIT"
QUARANTINE = "quarantine"
FORMAT_VERSION = 1
CHUNK_SIZE = 16 << 20

_LIMIT = 10**12  # steps and sequence numbers have at most twelve digits
_NAME = re.compile(r"step-([0-9]{12})-([0-9]{6,12})")
_QUARANTINED = re.compile(r"(step-[0-9]{12}-[0-9]{6,12})(?:\.[0-9]{1,6})?")
_DEBRIS = re.compile(r"\.(tmp|trash)-([0-9]{6,12})-[0-9a-f]{12}")
_CLAIM = re.compile(r"\.seq-([0-9]{6,12})")


class CheckpointName(NamedTuple):
    step: int
    seq: int


def format_name(name: CheckpointName) -> str:
    """The directory's name. ValueError if a number has no place in it."""
    if not 0 <= name.step < _LIMIT:
        raise ValueError(f"step {name.step} is not between 0 and 10^12")
    return f"step-{name.step:012d}-{_format_seq(name.seq)}"


def parse_name(text: str) -> CheckpointName | None:
    """The name, or None if it is not one that `format_name` makes."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    name = CheckpointName(int(match[1]), int(match[2]))
    return name if format_name(name) == text else None


def format_temporary(seq: int, token: str) -> str:
    return f".tmp-{_format_seq(seq)}-{token}"


def parse_temporary(text: str) -> int | None:
    """The sequence number of a directory being written."""
    match = _DEBRIS.fullmatch(text)
    return int(match[2]) if match and match[1] == "tmp" else None


def format_trash(seq: int, token: str) -> str:
    return f".trash-{_format_seq(seq)}-{token}"


def is_trash(text: str) -> bool:
    match = _DEBRIS.fullmatch(text)
    return match is not None and match[1] == "trash"


def format_claim(seq: int) -> str:
    return f".seq-{_format_seq(seq)}"


def parse_claim(text: str) -> int | None:
    match = _CLAIM.fullmatch(text)
    return int(match[1]) if match else None


def parse_quarantined(text: str) -> str | None:
    """The name that a checkpoint had before it was set aside: a second one of the name got a number behind it."""
    match = _QUARANTINED.fullmatch(text)
    return match[1] if match and parse_name(match[1]) is not None else None


def parse_any_seq(text: str) -> int | None:
    """The sequence number in any name of this page, so that no number is given twice."""
    if (claim := parse_claim(text)) is not None:
        return claim
    if debris := _DEBRIS.fullmatch(text):
        return int(debris[2])
    kept = parse_quarantined(text)
    name = parse_name(kept) if kept is not None else None
    return name.seq if name is not None else None


def _format_seq(seq: int) -> str:
    if not 0 <= seq < _LIMIT:
        raise ValueError(f"sequence number {seq} is not between 0 and 10^12")
    return f"{seq:06d}"
