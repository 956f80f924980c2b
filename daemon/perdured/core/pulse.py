"""What is known of how a job gets on: what its keeper tells of its steps, and what was seen at each look at it.

A watch counts the time that *passed under our eyes*: between two looks that followed each other as closely as they
should, at a process that ran. So whoever was late, be it the daemon, the keeper or the machine, sees a gap between two
looks, and a gap counts as no more than one look; and a process that was paused, or a machine that slept, begins anew.
All times are of CLOCK_MONOTONIC, which no setting of the clock moves and which stands still in suspend.
"""

from __future__ import annotations

from typing import Literal

from .value import Value


class Pulse(Value):
    """The keeper's word; `perdured.keeper.pulse` measures it."""

    phase: str
    heard_at: float
    told_at: float
    median: float | None = None
    """Seconds per step; None before there were any but the first."""
    slowest: float | None = None
    """The longest silence in this phase that was none."""


class Unhealthy(Value):
    """Each loss that was told from one step to the other was not finite."""

    since: int
    step: int


WatchKind = Literal["steps", "output", "file"]


class Look(Value):
    """At one sign of life of a job."""

    at: float
    mark: float
    """Another one is another sign: the time of the last step, the size of a file."""
    since: float
    """When that sign was given, or first seen."""
    is_paused: bool = False
    """Its leader was stopped (SIGSTOP, a debugger) or frozen."""
    suspended: float = 0.0
    """Seconds that the machine has slept since it was started."""
    shape: str | None = None
    """The main thread's stack, where it was asked for."""


class Watch(Value):
    """What the looks since the last sign add up to."""

    mark: float
    since: float
    looked_at: float
    suspended: float
    watched: float = 0.0
    """Seconds that passed under our eyes."""
    shapes: tuple[str, ...] = ()
    """The stacks of the latest looks: if they are not all the same, it moves."""

    @property
    def silence(self) -> float:
        return self.looked_at - self.since


LOOKS = 10
"""Whose stacks are compared, and as many as there are in the second half of a limit."""


def watch_on(before: Watch | None, look: Look, tick: float) -> Watch:
    """After one more look, `tick` seconds after the last one if all went well."""
    if before is None or before.mark != look.mark:
        return Watch(mark=look.mark, since=look.since, looked_at=look.at, suspended=look.suspended)
    if look.is_paused or look.suspended > before.suspended + 1.0:
        return Watch(mark=look.mark, since=look.at, looked_at=look.at, suspended=look.suspended)
    gap = max(look.at - before.looked_at, 0.0)
    shapes = (*before.shapes, look.shape)[-LOOKS:] if look.shape is not None else before.shapes
    watched = before.watched + (gap if gap <= 2 * tick else min(tick, gap))
    return before.model_copy(update={"looked_at": look.at, "watched": watched, "shapes": shapes})
