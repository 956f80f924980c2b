"""What the time of an attempt goes into, added up from the job's own messages: pure values, the keeper's share of the
ledger (`perdured.core.ledger`), which is in its status and at the end in `exit.json`.

Each sign of the job ends the interval since the one before, which goes to what the attempt was doing:

| part | until |
|---|---|
| untold | the first word of a program that tells its steps; of another one this is all but its saves |
| loading | the first step |
| saving | the checkpoint is told, or the next step |
| standing | it goes on: it stood still for a notice |
| training | the next save |

What is still open when the process dies is left open: only the daemon knows whether that was a hang. Seconds are of
CLOCK_MONOTONIC, so that suspend, which is told apart, is in none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from perdured.contract import messages

from .pulse import Pulse, take_time
from .records import take_optional

UNTOLD, LOADING, TRAINING, SAVING, STANDING = "untold", "loading", "training", "saving", "standing"
_SIGNS = (
    *(messages.PROGRESS, messages.PHASE, messages.STACKS, messages.SAVING, messages.CHECKPOINT),
    *(messages.PARKED, messages.GOING_ON),
)
_OF_MESSAGE = {messages.SAVING: SAVING, messages.PARKED: STANDING}
_OF_PHASE = {messages.STARTING: LOADING, messages.SAVING_PHASE: SAVING, messages.PARKED_PHASE: STANDING}


class Tally(NamedTuple):
    since: float = 0.0
    """The last sign."""
    slept: float = 0.0
    """Seconds that the machine had slept when the attempt began."""
    part: str = UNTOLD
    """What the time since the last sign goes to."""
    is_measured: bool = False
    """It tells its steps."""
    untold: float = 0.0
    loading: float = 0.0
    training: float = 0.0
    saving: float = 0.0
    standing: float = 0.0
    kept: float | None = None
    """Seconds of work, of those above, when it told its last checkpoint."""
    stalled: float = 0.0
    """What the job said last that its copies into memory took."""


def hear_tally(tally: Tally, message: Mapping[str, object], pulse: Pulse | None, now: float) -> Tally:
    """After a message of the job; `pulse` is what is known of it by then."""
    kind = message["type"]
    if kind not in _SIGNS:
        return tally
    part = _OF_MESSAGE.get(str(kind)) or _find_part(tally, pulse)
    stall = _take_stall(tally, message) if kind == messages.PROGRESS else 0.0
    tally = _move_stall(move_on(tally, take_time(message, now), part), stall)
    if kind == messages.CHECKPOINT:
        tally = tally._replace(kept=tally.untold + tally.training)
    return tally._replace(stalled=tally.stalled + stall, is_measured=tally.is_measured or pulse is not None)


def move_on(tally: Tally, at: float, part: str) -> Tally:
    """The interval ends, and another part begins."""
    seconds = max(at - tally.since, 0.0)
    closed = {tally.part: getattr(tally, tally.part) + seconds}
    return tally._replace(since=max(at, tally.since), part=part, **closed)


def end_save_of(tally: Tally, pulse: Pulse | None, now: float) -> Tally:
    """Somebody else has done it, or it was given up."""
    return move_on(tally, now, _find_part(tally, pulse)) if tally.part == SAVING else tally


def describe_tally(tally: Tally, now: float, slept: float) -> dict[str, object]:
    """As the status and `exit.json` have it."""
    return {
        "part": tally.part,
        "is_measured": tally.is_measured,
        **{part: round(getattr(tally, part), 3) for part in (UNTOLD, LOADING, TRAINING, SAVING, STANDING)},
        "silence": round(max(now - tally.since, 0.0), 3),
        "asleep": round(max(slept - tally.slept, 0.0), 3),
        "kept": round(tally.kept, 3) if tally.kept is not None else None,
    }


def _find_part(tally: Tally, pulse: Pulse | None) -> str:
    if pulse is not None:
        return _OF_PHASE.get(pulse.phase, TRAINING if pulse.steps > 0 else LOADING)
    return TRAINING if tally.is_measured else UNTOLD


def _take_stall(tally: Tally, message: Mapping[str, object]) -> float:
    """What is new of it. Another process of the job counts from 0 again."""
    told = take_optional(message, "stalled", float)
    if told is None or told < 0:
        return 0.0
    return told - tally.stalled if told >= tally.stalled else told


def _move_stall(tally: Tally, stall: float) -> Tally:
    """A copy into memory is part of saving; it fell between two steps."""
    moved = min(stall, tally.training)
    return tally._replace(training=tally.training - moved, saving=tally.saving + moved)
