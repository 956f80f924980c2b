"""What past notices have taught about the next: how much of the time that a source promised was really there.

A *window* is the time between a notice and its deadline. Most are kept; some break, and then the source is believed
less: of its next windows only the share is counted on that the worst of its last few has kept. A window that is
kept pushes an older one out, so that one bad night is forgotten in the end.

Known limit: what is learned lies on this machine's disk. Where that is lost with the machine, nobody learns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .notices.notice import Notice
from .value import Value

REMEMBERED = 8
"""Windows of one source."""
GRAIN = 4.0
"""Seconds by which nobody knows when a machine went: what broke by less was kept."""


class Window(Value):
    source: str
    promised: float
    """Seconds from the notice to its deadline."""
    kept: float
    """Seconds in which the machine was seen alive, at most as many as promised."""

    @property
    def share(self) -> float:
        return min(self.kept / self.promised, 1.0) if self.promised > 0 else 1.0


class Life(NamedTuple):
    """How long a machine with a notice was seen alive."""

    notice: Notice
    alive_at: float


def judge_window(life: Life) -> Window | None:
    """What came of the window, once the machine has gone; None for a notice that had none."""
    notice, alive_at = life
    if notice.deadline is None or notice.deadline <= notice.received_at:
        return None
    promised = notice.deadline - notice.received_at
    kept = max(alive_at - notice.received_at, 0.0)
    return Window(source=notice.source, promised=promised, kept=promised if kept + GRAIN >= promised else kept)


def learn(windows: Sequence[Window], more: Iterable[Window]) -> tuple[Window, ...]:
    """All windows, the latest last, with what is too old forgotten."""
    everything = [*windows, *more]
    latest = {source: [w for w in everything if w.source == source][-REMEMBERED:] for source in _sources(everything)}
    return tuple(window for window in everything if any(window is each for each in latest[window.source]))


def find_share(windows: Iterable[Window], source: str) -> float:
    """How much of a window of this source is counted on: 0 to 1."""
    return min((window.share for window in windows if window.source == source), default=1.0)


def _sources(windows: Iterable[Window]) -> set[str]:
    return {window.source for window in windows}
