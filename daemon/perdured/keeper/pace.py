"""How fast a run goes, as its own messages tell: pure values, from which the daemon learns what "too long" is.

The job says in each message when it was sent (CLOCK_MONOTONIC, which stands still while the machine is suspended), so
a keeper that was late to hear it measures the same. Each phase is measured by itself, and the first steps, which
compile and allocate, are none of them.

Only a client that has told a phase, or how to get its stacks, is measured: `perdure.Run` does both. What `perdure.save`
tells are saves, which may come in pairs and then not for an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from perdured.contract import messages

from .records import take, take_optional

WARM_UP = 10
"""Steps."""
KEPT = 64
"""Durations from which the median is taken."""


class Pace(NamedTuple):
    client: int
    """Who told."""
    heard_at: float
    """When it last gave a sign of getting on."""
    phase: str = messages.STARTING
    step: int | None = None
    steps: int = 0
    """Counted since the first word."""
    durations: tuple[float, ...] = ()
    """Seconds per step, of the latest."""
    slowest: Mapping[str, float] = {}
    """The longest silence that was none, by phase."""


def hear_pace(pace: Pace | None, message: Mapping[str, object], client: int, now: float) -> Pace | None:
    """What is known after a message of the job that came at `now`."""
    at, kind = _take_time(message, now), message["type"]
    if kind in (messages.PHASE, messages.STACKS):
        pace = pace._replace(client=client) if pace is not None else Pace(client, at)
    if pace is None or pace.client != client:
        return pace
    match kind:
        case messages.PROGRESS:
            return _hear_step(pace, take(message, "step", int), at)
        case messages.PHASE if message.get("name") == messages.EVALUATION:
            return _note(pace, at)._replace(phase=messages.EVALUATION)
        case messages.SAVING:
            return _note(pace, at)._replace(phase=messages.SAVING_PHASE)
        case messages.CHECKPOINT:
            return _note(pace, at)._replace(phase=_phase_of(pace.steps))
    return pace


def end_save(pace: Pace | None, now: float) -> Pace | None:
    """A save that somebody else did for it is over."""
    if pace is None or pace.phase != messages.SAVING_PHASE:
        return pace
    return _note(pace, now)._replace(phase=_phase_of(pace.steps))


def describe_pace(pace: Pace, now: float) -> dict[str, object]:
    ordered = sorted(pace.durations)
    return {
        "phase": pace.phase,
        "heard_at": pace.heard_at,
        "told_at": now,
        "median": ordered[len(ordered) // 2] if ordered else None,
        "slowest": pace.slowest.get(pace.phase),
    }


def _take_time(message: Mapping[str, object], now: float) -> float:
    """The job's word for when it spoke, as far as it can be true."""
    at = take_optional(message, "at", float)
    return at if at is not None and 0 <= at <= now else now


def _hear_step(pace: Pace, step: int, at: float) -> Pace:
    made = max(step - pace.step, 0) if pace.step is not None else 1
    is_measured = pace.phase == messages.TRAINING and made > 0 and at > pace.heard_at
    durations = (*pace.durations, (at - pace.heard_at) / made)[-KEPT:] if is_measured else pace.durations
    pace = _note(pace, at)
    steps = pace.steps + made
    return pace._replace(step=step, steps=steps, durations=durations, phase=_phase_of(steps))


def _note(pace: Pace, at: float) -> Pace:
    """A sign of life, which ends a silence."""
    silence = max(at - pace.heard_at, 0.0)
    longest = max(pace.slowest.get(pace.phase, 0.0), silence)
    return pace._replace(heard_at=max(at, pace.heard_at), slowest={**pace.slowest, pace.phase: longest})


def _phase_of(steps: int) -> str:
    return messages.TRAINING if steps >= WARM_UP else messages.WARMING_UP
