"""A source that changes its mind again and again. Pure.

Each notice costs a job something: it saves, and may stand still. From a source that has taken back more than `MOST` of
late, one that leaves time counts only once it has been told for a while; one that leaves little counts at once, since
to be late with it would cost more than to be wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from .notice import Notice, SourceName

MOST = 3
LATELY = 600.0
"""Seconds."""
SETTLES_AFTER = 10.0
"""Seconds for which it must have been told: two looks of the slower sources."""
IMMINENT = 180.0
"""Seconds to the deadline from which nobody waits."""


def find_flapping(notices: Iterable[Notice], now: float) -> frozenset[SourceName]:
    taken_back = Counter(each.source for each in notices for at in each.taken_back if now - at <= LATELY)
    return frozenset(source for source, count in taken_back.items() if count > MOST)


def list_settled(standing: Iterable[Notice], flapping: Collection[SourceName], now: float) -> tuple[Notice, ...]:
    """Those that are acted on now."""
    return tuple(notice for notice in standing if (at := find_settled(notice, flapping)) is None or at <= now)


def find_settled(notice: Notice, flapping: Collection[SourceName]) -> float | None:
    """When it counts; None: at once."""
    if notice.source not in flapping:
        return None
    told_long_enough = notice.received_at + SETTLES_AFTER
    return told_long_enough if notice.deadline is None else min(told_long_enough, notice.deadline - IMMINENT)
