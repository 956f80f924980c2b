"""Whether a notice could be honoured now: told before there is one, when something can still be done about it.

A job saves at its safe points alone. One that passes none for a minute would sleep through the whole of a usual window
(30 s on GCP and Azure) and half of the longest (120 s on AWS). The only safe point of a script with `perdure.save` is
the end of each save, and nothing is heard of it in between: only how long that has been so far.
"""

from __future__ import annotations

from perdured.contract import messages
from perdured.contract.pacing import Pace

from .observation import Held, Observation
from .units import human_duration

LONGEST = 60.0
"""Seconds without a safe point."""
_CALL = "call run.safe_point() in long work"


def find_deafness(observation: Observation, pace: Pace | None) -> str | None:
    """Why a notice could not be honoured, in words; None where it could, or nobody knows."""
    seen, pulse = observation.attempt, observation.vitals.pulse
    if not isinstance(seen, Held) or not seen.can_park or seen.stand is not None:
        return None
    slowest = pace.slowest_step if pace is not None else None
    if pulse is None:
        return _say_rarely(slowest) if slowest is not None and slowest >= LONGEST else None
    silence = observation.vitals.at - pulse.heard_at
    if silence >= LONGEST and pulse.phase != messages.SAVING_PHASE:
        return f"no safe point for {human_duration(silence)}: a notice could not be honoured now; {_CALL}"
    if slowest is not None and slowest >= LONGEST:
        took = human_duration(slowest)
        return f"from one safe point to the next it has taken {took}: a short notice could not be honoured; {_CALL}"
    return None


def _say_rarely(slowest: float) -> str:
    took = human_duration(slowest)
    return f"from one save to the next it has taken {took}: a short notice could not be honoured; save more often"
