"""Whether the arena of an attempt is worth holding on to, after its process has gone. Pure.

An arena lives as long as somebody holds it. The daemon does, from the moment at which the keeper tells of it, so that
the next attempt can load its last snapshot from memory, and lets go as soon as nobody will want it: the job rests, the
attempt itself has given it up, the next attempt has made its first step, or it takes too long.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

LONGEST = 300.0
"""Seconds after the end for which memory is taken that nobody may come to use."""


class KeptSeen(NamedTuple):
    has_new: bool
    """The attempt that lives has an arena that is not held yet."""
    is_of_living: bool
    """The one that is held belongs to an attempt that lives, which still has it."""
    is_job_resting: bool
    is_next_training: bool
    """A later attempt is past its start."""
    alone_since: float | None
    """When the attempt that it belongs to was first seen to be gone."""


KeptDecision = Literal["hold", "keep", "drop"]


def decide_kept(seen: KeptSeen, now: float) -> KeptDecision:
    """`hold`: open the new one, and let go of what was held before."""
    if seen.has_new:
        return "hold"
    if seen.is_of_living:
        return "keep"
    is_late = seen.alone_since is not None and now >= seen.alone_since + LONGEST
    return "drop" if seen.is_job_resting or seen.is_next_training or is_late else "keep"
