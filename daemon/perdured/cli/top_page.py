"""What `perdure top` shows: one line about all, and the table of `perdure ps`, as much as fits. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from perdured.wire import Job

from .job_table import format_jobs
from .text import DIM, Cell, format_clock, paint

_HEAD = 2
"""Lines above the table."""


def format_top(jobs: Sequence[Job], now: float, width: int, height: int) -> list[str]:
    """As many lines as the terminal has, at most: the first jobs of the list, and how many more there are."""
    states = Counter(job["state"] for job in jobs)
    said = ", ".join(f"{count} {state}" for state, count in states.most_common())
    lines = [paint(Cell(f"{format_clock(now)}  {said or 'no jobs'}", DIM)), ""]
    shown = list(jobs)
    while shown and len(table := format_jobs(shown, now, width)) > height - _HEAD - (len(shown) < len(jobs)):
        shown.pop()
    lines += table if shown else []
    return lines if len(shown) == len(jobs) else [*lines, paint(Cell(f"(and {len(jobs) - len(shown)} more)", DIM))]
