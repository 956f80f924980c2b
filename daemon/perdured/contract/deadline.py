"""Does it fit before the deadline? Three answers, from what was measured: surely, perhaps, no. Pure.

*No* is said only where even the fastest so far would take longer than there is: then nothing is begun, since it could
not end well. *Surely* has a margin over the slowest. Between them it is tried; and what comes late all the same is not
committed (`TooLate`), so that a mistake costs nothing but the try.
"""

from __future__ import annotations

import errno
import math
from enum import Enum
from typing import NamedTuple

MARGIN = 1.5
"""Over the slowest that was seen, to be sure."""
RESERVE = 0.2
"""Seconds kept for the last two syncs of a commit, which cannot be cut short."""


class Fit(str, Enum):
    SURELY = "surely"
    PERHAPS = "perhaps"
    NO = "no"


class Span(NamedTuple):
    """Seconds that a thing has taken: at least, and at most."""

    least: float
    most: float

    def and_then(self, other: Span) -> Span:
        return Span(self.least + other.least, self.most + other.most)


UNKNOWN = Span(0.0, math.inf)
"""Never measured: it may fit, and nobody can be sure."""


LATE = "its deadline has come before its end"


class TooLate(OSError):
    """The deadline of a save has come before its end. Nothing of it stays, and nothing older was touched."""

    def __init__(self) -> None:
        super().__init__(errno.ETIMEDOUT, LATE)


def find_last_moment(deadline: float, slowest: float | None) -> float:
    """When a save that may take its time has to hurry, if it is to be done: twice the slowest before its deadline.
    Where nothing was measured, that is always."""
    return -math.inf if slowest is None else deadline - 2 * slowest - RESERVE


def judge_fit(span: Span, left: float) -> Fit:
    """Whether what takes so long is done within `left` seconds."""
    if span.least > left:
        return Fit.NO
    return Fit.SURELY if span.most * MARGIN + RESERVE <= left else Fit.PERHAPS
