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


class Pulse(NamedTuple):
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


def hear_pulse(pulse: Pulse | None, message: Mapping[str, object], client: int, now: float) -> Pulse | None:
    """What is known after a message of the job that came at `now`."""
    at, kind = take_time(message, now), message["type"]
    if kind in (messages.PHASE, messages.STACKS):
        pulse = pulse._replace(client=client) if pulse is not None else Pulse(client, at)
    if pulse is None or pulse.client != client:
        return pulse
    match kind:
        case messages.PROGRESS:
            return _hear_step(pulse, take(message, "step", int), at)
        case messages.PHASE if message.get("name") == messages.EVALUATION:
            return _note(pulse, at)._replace(phase=messages.EVALUATION)
        case messages.SAVING:
            return _note(pulse, at)._replace(phase=messages.SAVING_PHASE)
        case messages.PARKED:
            return _park(pulse, at)
        case messages.GOING_ON:
            return pulse._replace(heard_at=max(at, pulse.heard_at), phase=_phase_of(pulse.steps))
        case messages.CHECKPOINT:
            return _note(pulse, at)._replace(phase=_phase_of(pulse.steps))
    return pulse


def end_save(pulse: Pulse | None, now: float) -> Pulse | None:
    """A save that somebody else did for it is over."""
    if pulse is None or pulse.phase != messages.SAVING_PHASE:
        return pulse
    return _note(pulse, now)._replace(phase=_phase_of(pulse.steps))


def describe_pulse(pulse: Pulse, now: float) -> dict[str, object]:
    ordered = sorted(pulse.durations)
    return {
        "phase": pulse.phase,
        "heard_at": pulse.heard_at,
        "told_at": now,
        "median": ordered[len(ordered) // 2] if ordered else None,
        "slowest": pulse.slowest.get(pulse.phase),
    }


def _park(pulse: Pulse, at: float) -> Pulse:
    """It came to a safe point; how long it stands there says nothing of its steps."""
    if pulse.phase == messages.PARKED_PHASE:
        return pulse._replace(heard_at=max(at, pulse.heard_at))
    return _note(pulse, at)._replace(phase=messages.PARKED_PHASE)


def take_time(message: Mapping[str, object], now: float) -> float:
    """The job's word for when it spoke, as far as it can be true."""
    at = take_optional(message, "at", float)
    return at if at is not None and 0 <= at <= now else now


def _hear_step(pulse: Pulse, step: int, at: float) -> Pulse:
    made = max(step - pulse.step, 0) if pulse.step is not None else 1
    is_measured = pulse.phase == messages.TRAINING and made > 0 and at > pulse.heard_at
    durations = (*pulse.durations, (at - pulse.heard_at) / made)[-KEPT:] if is_measured else pulse.durations
    pulse = _note(pulse, at)
    steps = pulse.steps + made
    return pulse._replace(step=step, steps=steps, durations=durations, phase=_phase_of(steps))


def _note(pulse: Pulse, at: float) -> Pulse:
    """A sign of life, which ends a silence."""
    silence = max(at - pulse.heard_at, 0.0)
    longest = max(pulse.slowest.get(pulse.phase, 0.0), silence)
    return pulse._replace(heard_at=max(at, pulse.heard_at), slowest={**pulse.slowest, pulse.phase: longest})


def _phase_of(steps: int) -> str:
    return messages.TRAINING if steps >= WARM_UP else messages.WARMING_UP
