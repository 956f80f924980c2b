"""When is a periodic checkpoint due? Pure: the time is an argument."""

from __future__ import annotations

import re
from typing import NamedTuple

_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_STEPS = re.compile(r"\s*([0-9]+)\s*steps?\s*")
_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*")


class Mark(NamedTuple):
    """A moment of a run: its step, and seconds on a clock that only goes forward."""

    step: int
    time: float


class Schedule(NamedTuple):
    """Every so many steps, or every so many seconds; with neither, `perdure.pacer` chooses."""

    steps: int | None
    seconds: float | None


AUTO = Schedule(None, None)


def parse_schedule(text: str) -> Schedule:
    """The schedule of "auto", "500 steps", "10min", "1h30min". ValueError with the reason for anything else."""
    if text.strip() == "auto":
        return AUTO
    if match := _STEPS.fullmatch(text):
        steps, seconds = int(match[1]), None
    else:
        steps, seconds = None, _parse_duration(text)
    if not (steps or seconds):
        raise ValueError(f"{text!r} is no interval: it must be more than nothing")
    return Schedule(steps, seconds)


def _parse_duration(text: str) -> float:
    seconds, rest = 0.0, text
    while rest:
        part = _PART.match(rest)
        if part is None or part[2] not in _UNITS:
            raise ValueError(f'{text!r} is neither "auto" nor like "500 steps" nor like "10min"')
        seconds += float(part[1]) * _UNITS[part[2]]
        rest = rest[part.end() :]
    return seconds


def is_due(schedule: Schedule, last: Mark, now: Mark) -> bool:
    """Whether a save is due `now`, when the last one was made, or was tried and failed, at `last`."""
    if schedule.steps is not None:
        return now.step - last.step >= schedule.steps
    assert schedule.seconds is not None
    return now.step > last.step and now.time - last.time >= schedule.seconds
