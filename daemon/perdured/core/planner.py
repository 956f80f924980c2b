"""A save with a deadline: what will be done, how long it takes, and how sure that is. Pure.

A save goes from tier to tier: into memory, from there to the disk, from there to the remote store. Each is a stage with
the seconds that it has taken so far. The plan names the furthest tier that may be reached in time, and the furthest
that surely is. Where not even the first can be, nothing is begun, and the checkpoint before stays the newest.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from perdured.contract.deadline import UNKNOWN, Fit, Span, judge_fit
from perdured.contract.pacing import Pace

from .units import human_duration
from .value import Value

Tier = Literal["memory", "disk", "remote"]


SAID: dict[Tier, str] = {"memory": "to memory alone", "disk": "to the disk", "remote": "to the remote store"}


class Stage(NamedTuple):
    tier: Tier
    takes: Span


class SavePlan(Value):
    """What is done of a save that has to end in `left` seconds."""

    tier: Tier | None
    """The furthest that may be reached; None: nothing is begun."""
    sure_tier: Tier | None
    """The furthest that surely is."""
    seconds: float | None
    """Until `tier` is reached, as far as measured: the slowest so far."""
    left: float
    why: str

    @property
    def is_sure(self) -> bool:
        return self.tier is not None and self.tier == self.sure_tier


def plan_save(stages: tuple[Stage, ...], until_safe_point: Span, left: float) -> SavePlan:
    """`stages` in their order, each beginning when the one before has ended."""
    tier: Tier | None = None
    sure_tier: Tier | None = None
    needed, reached = until_safe_point, until_safe_point
    for stage in stages:
        needed = needed.and_then(stage.takes)
        fit = judge_fit(needed, left)
        if fit is Fit.NO:
            break
        tier, reached = stage.tier, needed
        sure_tier = stage.tier if fit is Fit.SURELY else sure_tier
    is_known = tier is not None and reached.most < float("inf")
    plan = SavePlan(tier=tier, sure_tier=sure_tier, seconds=reached.most if is_known else None, left=left, why="")
    return plan.model_copy(update={"why": _say(plan, needed)})


def list_stages(pace: Pace | None) -> tuple[Stage, ...]:
    """Of a job that saves like this; None: it has not told yet."""
    pace = pace or Pace()
    disk = Stage("disk", _span(pace.fastest_write, pace.slowest_write))
    if pace.snapshot_every is None:
        return (disk,)
    return (Stage("memory", _span(pace.copy, pace.slowest_copy)), disk)


def until_safe_point(pace: Pace | None) -> Span:
    """It may be reached at once, or a step later."""
    return Span(0.0, pace.slowest_step) if pace is not None and pace.slowest_step is not None else UNKNOWN


def _span(least: float | None, most: float | None) -> Span:
    return Span(least, most) if least is not None and most is not None else UNKNOWN


def _say(plan: SavePlan, needed: Span) -> str:
    left = human_duration(plan.left)
    if plan.tier is None:
        return f"nothing is begun: at its fastest it took {human_duration(needed.least)}, and there are {left}"
    place = SAID[plan.tier]
    if plan.seconds is None:
        return f"saves {place} within {left}: not sure, as it has not been measured yet"
    seconds = human_duration(plan.seconds)
    if plan.is_sure:
        return f"saves {place}, in {seconds} at most, of {left}: sure"
    return f"saves {place} within {left}: not sure, as it has taken up to {seconds}"
