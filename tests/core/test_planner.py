"""A save with a deadline: which tier, how long, how sure. And what is never begun."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.contract.deadline import MARGIN, RESERVE, UNKNOWN, Fit, Span, find_last_moment, judge_fit
from perdured.contract.pacing import Pace
from perdured.core.planner import SavePlan, Stage, Tier, list_stages, plan_save, until_safe_point

MEASURED = Pace(
    save_every=200, snapshot_every=12, copy=0.1, write=2, slowest_copy=0.2, fastest_write=1.9, slowest_write=4,
    slowest_step=0.3,
)  # fmt: skip
ALONE = MEASURED._replace(snapshot_every=None, copy=None, slowest_copy=None)


def plan(pace: Pace | None, left: float, *more: Stage) -> SavePlan:
    return plan_save((*list_stages(pace), *more), until_safe_point(pace), left)


@pytest.mark.parametrize(
    ("pace", "left", "tier", "sure_tier", "said"),
    [
        (MEASURED, 30, "disk", "disk", "saves to the disk, in 4.5 s at most, of 30 s: sure"),
        (MEASURED, 5, "disk", "memory", "saves to the disk within 5 s: not sure, as it has taken up to 4.5 s"),
        (MEASURED, 1.5, "memory", "memory", "saves to memory alone, in 0.5 s at most, of 1.5 s: sure"),
        (MEASURED, 0.05, None, None, "nothing is begun: at its fastest it took 0.1 s, and there are 0.1 s"),
        (ALONE, 30, "disk", "disk", "saves to the disk, in 4.3 s at most, of 30 s: sure"),
        (ALONE, 1.5, None, None, "nothing is begun: at its fastest it took 1.9 s, and there are 1.5 s"),
        (None, 30, "disk", None, "saves to the disk within 30 s: not sure, as it has not been measured yet"),
    ],
)
def test_the_plan_is_what_was_measured_says(
    pace: Pace | None, left: float, tier: str | None, sure_tier: str | None, said: str
) -> None:
    made = plan(pace, left)
    assert (made.tier, made.sure_tier, made.why) == (tier, sure_tier, said)
    assert made.is_sure == (tier is not None and tier == sure_tier)


def test_a_further_tier_is_planned_where_it_fits() -> None:
    remote = Stage("remote", Span(10, 20))
    assert plan(MEASURED, 60, remote).tier == "remote"
    assert plan(MEASURED, 60, remote).is_sure
    assert plan(MEASURED, 11, remote).tier == "disk", "the upload could not end, so it does not begin"


SPANS = st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)).map(lambda pair: Span(min(pair), max(pair)))


@given(st.lists(SPANS, min_size=1, max_size=3), SPANS, st.floats(0, 1e5), st.floats(0, 1e5))
def test_with_more_time_no_less_is_done(spans: list[Span], boundary: Span, one: float, other: float) -> None:
    tiers: tuple[Tier, ...] = ("memory", "disk", "remote")
    stages = tuple(Stage(tier, span) for tier, span in zip(tiers, spans, strict=False))
    ranks = {None: -1, "memory": 0, "disk": 1, "remote": 2}
    short, long = (plan_save(stages, boundary, left) for left in sorted((one, other)))
    assert ranks[short.tier] <= ranks[long.tier]
    assert ranks[short.sure_tier] <= ranks[long.sure_tier]
    assert ranks[short.sure_tier] <= ranks[short.tier]


@given(SPANS, st.floats(0, 1e5))
def test_what_is_sure_has_a_margin_and_what_cannot_be_is_not_begun(span: Span, left: float) -> None:
    fit = judge_fit(span, left)
    assert (fit is Fit.NO) == (span.least > left)
    if fit is Fit.SURELY:
        assert span.most * MARGIN <= left - RESERVE + 1e-6


def test_what_was_never_measured_may_fit_and_is_never_sure() -> None:
    assert judge_fit(UNKNOWN, 1e9) is Fit.PERHAPS


def test_a_save_hurries_when_twice_its_time_is_left_and_always_where_nobody_knows_it() -> None:
    assert find_last_moment(100.0, 10.0) == 80.0 - RESERVE
    assert find_last_moment(100.0, None) == -math.inf
