"""Whether a job that runs has stopped getting on. A hang is no *step*, however much it prints or computes.

What is too long is learned from the run itself, for each phase of it:

| phase | too long |
|---|---|
| the first word to the first step; the first ten | half an hour; a quarter, or three times the longest so far |
| training | 10 times the median step, at least 10 s, and 3 times the longest silence between steps |
| an evaluation, or a save | half an hour until one is over; then 10 times the longest, at least a minute |

The longest silence is what keeps the occasional slow step of this run from being taken for a hang. What no number can
tell is the first evaluation in the middle of a step: so in the second half of the time the stack of the main thread is
looked at, and a main thread that was found in different places of late is given six times as long. A thread that
waits, sleeps in C, or spins in one place is found in one.

A verdict needs more than a time that has passed, because the observer can be the one who stood still: half of it must
have been watched (`perdured.core.pulse`), and a look is only one where the keeper has answered since.

The numbers are nine tenths of the promise, so that what is promised includes the noticing.
"""

from __future__ import annotations

from typing import NamedTuple

from perdured.contract import messages

from .observation import Trouble
from .pulse import LOOKS, Pulse, Unhealthy, Watch, WatchKind
from .spec import Health
from .units import human_duration

FACTOR = 9.0
FLOOR = 9.0
_OF_THE_SLOWEST = 3.0
_STARTING = 1800.0
_WARMING_UP = 900.0
_OTHER_PHASE = 1800.0
_OTHER_FACTOR, _OTHER_FLOOR = 10.0, 60.0
_WHEN_MOVING = 6.0
_SHORTEST_TICK = 0.05
_STEPS_NOT_FINITE = 3
"""In a row: one alone may be a batch, or a scale of mixed precision that is being found."""
HANG_GRACE = 10.0
"""Seconds for a save that is offered to a process that hangs: it will hardly take it."""

_SAID = {
    messages.STARTING: "no first step",
    messages.WARMING_UP: "no step",
    messages.TRAINING: "no step",
    messages.EVALUATION: "no step after an evaluation, or a pass over the data,",
    messages.SAVING_PHASE: "no end of a save",
}


class Watched(NamedTuple):
    """One sign of life that is waited for, with how long is too long."""

    kind: WatchKind
    watch: Watch
    limit: float
    phase: str = messages.TRAINING


def limit_of_steps(health: Health, pulse: Pulse) -> float | None:
    """Seconds; None: never."""
    if health.hang_after == "never":
        return None
    return learn_limit(pulse) if health.hang_after == "auto" else health.hang_after


def learn_limit(pulse: Pulse) -> float:
    """From what this run was like so far."""
    slowest = pulse.slowest or 0.0
    match pulse.phase:
        case messages.STARTING:
            return _STARTING
        case messages.WARMING_UP:
            return max(_WARMING_UP, _OF_THE_SLOWEST * slowest)
        case messages.TRAINING:
            return max(FLOOR, FACTOR * (pulse.median or 0.0), _OF_THE_SLOWEST * slowest)
    return max(_OTHER_FLOOR, _OTHER_FACTOR * slowest) if pulse.slowest is not None else _OTHER_PHASE


def find_tick(limit: float) -> float:
    """Seconds between two looks, once half of the limit is over."""
    return max(limit / 2 / LOOKS, _SHORTEST_TICK)


def is_suspicious(watched: Watched) -> bool:
    """Half of the limit is over: it is looked at closely now."""
    return watched.watch.silence >= watched.limit / 2


def find_delay(watched: Watched, at: float) -> float:
    """Seconds until the next look is due; not above 0 where it is."""
    watch = watched.watch
    return watch.looked_at + max(watched.limit / 2 - watch.silence, find_tick(watched.limit)) - at


def is_hung(watched: Watched) -> bool:
    watch, limit = watched.watch, watched.limit
    if len(set(watch.shapes)) > 1:
        limit *= _WHEN_MOVING
    # What a look comes too late by is not missed: nine of ten are enough.
    return watch.silence >= limit and watch.watched >= 0.45 * watched.limit


def find_hang(all_watched: tuple[Watched, ...]) -> Trouble | None:
    """The first that has been silent for too long."""
    for watched in all_watched:
        if is_hung(watched):
            return Trouble(kind="hang", why=_say_hang(watched), silence=watched.watch.silence)
    return None


def find_non_finite(health: Health, unhealthy: Unhealthy | None) -> Trouble | None:
    if unhealthy is None or health.non_finite == "ignore" or unhealthy.step - unhealthy.since < _STEPS_NOT_FINITE - 1:
        return None
    return Trouble(kind="non_finite", why=f"the loss is not finite since step {unhealthy.since}")


def _say_hang(watched: Watched) -> str:
    silence, limit = human_duration(watched.watch.silence), human_duration(watched.limit)
    what = {"output": "nothing printed", "file": "no growth of the file"}.get(watched.kind) or _SAID.get(
        watched.phase, "no step"
    )
    return f"{what} for {silence} (limit {limit})"
