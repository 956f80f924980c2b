"""What a host wants of the lease of a job of its own. Pure.

Whatever runs, or is to run here, is held. What has stopped for good is over, and what waits for another machine or
another daemon is given back at once, so that nobody has to wait for the lease to run out. Both only after the newest
checkpoint is in the bucket: until then the lease is kept, since nothing is copied without one.
"""

from __future__ import annotations

from typing import NamedTuple

from .lease import Aim
from .record import UNDER_WAY, JobRecord, Parked

ENDED = ("succeeded", "failed", "stopped")


class Surroundings(NamedTuple):
    is_fenced: bool = False
    """Nothing is started on this machine: it is about to be taken away."""
    is_noticed: bool = False
    """A notice asks the job to stand still."""
    is_copied: bool = True
    """The bucket has what the disk has."""


def decide_aim(record: JobRecord, around: Surroundings) -> Aim:
    phase = record.phase
    is_let_go: Aim = "free" if around.is_copied else "keep"
    if phase.kind in UNDER_WAY:
        stands = phase.kind == "parked_in_place" and around.is_noticed
        return is_let_go if stands else "hold"
    if record.wish == "restart" and not around.is_fenced:
        return "hold"
    if phase.kind in ENDED:
        return "over" if around.is_copied else "keep"
    rests = isinstance(phase, Parked) and not phase.stepped_aside
    return is_let_go if rests or around.is_fenced else "hold"


def say_why(record: JobRecord) -> str:
    """Why it is given back, or how it ended: "succeeded at step 12"."""
    word = {"parked_in_place": "parked"}.get(record.phase.kind, record.phase.kind)
    return f"{word} at step {record.progress}" if record.progress is not None else word
