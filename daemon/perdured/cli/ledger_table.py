"""Where the time of a job went, as a small table of `perdure show`. Pure."""

from __future__ import annotations

from typing import Literal, get_args

from perdured.core.units import human_duration
from perdured.wire import Job, Ledger

from .text import Cell, format_table, header

Part = Literal["useful", "redone", "starting", "loading", "saving", "hung", "waiting", "queued"]
PARTS: tuple[Part, ...] = get_args(Part)
_LEAST = 0.05
"""Seconds. Less than that is not worth a line."""


def format_ledger(job: Job, width: int | None) -> list[str]:
    """Nothing before the first attempt: until then all of it is the queue."""
    ledger = job["ledger"]
    rows = [_describe(part, seconds, ledger["whole"]) for part, seconds in _list_parts(ledger)]
    return ["", *format_table([header("  TIME", "SPENT", "SHARE"), *rows], width)] if job["attempts"] and rows else []


def _list_parts(ledger: Ledger) -> list[tuple[str, float]]:
    return [(part, ledger[part]) for part in PARTS if ledger[part] >= _LEAST]


def _describe(part: str, seconds: float, whole: float) -> list[Cell]:
    return [Cell(f"  {part}"), Cell(human_duration(seconds)), Cell(say_share(seconds / whole))]


def say_share(share: float) -> str:
    return f"{share * 100:.1f} %" if share >= 0.001 else "under 0.1 %"
