"""Job names for the shell's completion: quick, and silent whatever is wrong."""

from __future__ import annotations

from pathlib import Path

from perdured.client import Client
from perdured.errors import PerdureError

_ANSWER_WITHIN = 0.2
"""Seconds. Whoever presses the tabulator is waiting."""


def list_words(socket: Path, incomplete: str) -> list[str]:
    """The names that begin so, and the ids of jobs whose name does not tell them apart."""
    try:
        jobs = Client(socket, timeout=_ANSWER_WITHIN).list_jobs(everything=True)
    except PerdureError:
        return []
    names = {job["name"] for job in jobs}
    words = names if any(name.startswith(incomplete) for name in names) else {job["id"] for job in jobs}
    return sorted(word for word in words if word.startswith(incomplete))
