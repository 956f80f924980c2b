"""How a source of notices is: it works, it is blind (and why), or it is not here. Pure.

One look that fails makes no source blind: metadata services drop a request now and then. Several in a row do, and one
whose failure will not mend itself does at once. Between looks that fail the pause grows.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from .notice import SourceName

State = Literal["works", "starting", "blind", "not_here"]

PATIENCE = 3
"""Looks in a row that may fail."""
LEAST_PAUSE, MOST_PAUSE = 0.5, 2.0
"""Seconds, after a look that failed, before they are doubled for each failure in a row."""
LONGEST_PAUSE = 15.0


class SourceStatus(NamedTuple):
    source: SourceName
    state: State
    why: str
    """In words; of one that works, what it listens to."""


class Trouble(NamedTuple):
    """Looks of one part of a source that failed in a row."""

    failures: int = 0
    why: str = ""
    is_lasting: bool = False

    @property
    def is_blinding(self) -> bool:
        return self.is_lasting or self.failures >= PATIENCE


def find_pause(every: float, failures: int) -> float:
    """Seconds until the next look. Of a part with a slow pace, one that failed is repeated sooner than usual."""
    if failures == 0:
        return every
    return min(min(max(every, LEAST_PAUSE), MOST_PAUSE) * 2.0 ** min(failures, 10), LONGEST_PAUSE)
