"""Which checkpoint is read again, byte by byte, and when. Pure.

A disk forgets silently; a checkpoint that was whole when it was written may not be when it is needed. So each is
verified once within the hour after its commit, and then once a week: one at a time, newest of the new first, then the
one that was not looked at for longest. Between two of them lies twenty times as long as the last one took, so that the
disk is busy with it for a twentieth of the time at most. Never beside a save of the same job.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SETTLED = 300.0
"""Seconds after its commit: what is dropped soon need not be read again."""
WEEK = 7 * 86400.0
PAUSES = 20
LOOK_AGAIN = 600.0
"""Seconds until the directories are listed again: what is new by then is verified within the hour."""


class Candidate(NamedTuple):
    job: str
    name: str
    committed_at: float
    looked_at: float | None
    """When it was last read, also if it could not be judged then."""
    is_busy: bool
    """Its job saves just now."""


class Scrub(NamedTuple):
    """Which one now, if any; else when to look again."""

    candidate: Candidate | None
    look_at: float


def decide_scrub(candidates: Sequence[Candidate], rests_until: float, now: float) -> Scrub:
    """`rests_until`: before that none is begun, since one was a moment ago."""
    if now < rests_until:
        return Scrub(None, min(rests_until, now + LOOK_AGAIN))
    due = [each for each in candidates if find_due(each, now) <= now and not each.is_busy]
    new = [each for each in due if each.looked_at is None]
    if new:
        return Scrub(max(new, key=lambda each: each.committed_at), now)
    if due:
        return Scrub(min(due, key=lambda each: find_due(each, now)), now)
    later = [moment for each in candidates if (moment := find_due(each, now)) > now]
    return Scrub(None, min([*later, now + LOOK_AGAIN]))


def find_due(candidate: Candidate, now: float) -> float:
    """A time that lies in the future, by a clock that was set back, counts as now."""
    if candidate.looked_at is None:
        return min(candidate.committed_at, now) + SETTLED
    return min(candidate.looked_at, now) + WEEK


def find_rest(ended_at: float, took: float) -> float:
    """Until when none is begun after one that took so long."""
    return ended_at + PAUSES * took
