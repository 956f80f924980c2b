"""The interval `auto`: what it is, what it never exceeds, and that it costs about what the best fixed one would."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.contract.pacing import (
    CEILING,
    LONGEST,
    SHORTEST,
    Costs,
    History,
    Pace,
    choose_interval,
    choose_pace,
    expect_any_failure,
    expect_failure,
    expect_machine_loss,
    find_optimum,
    format_pace,
    parse_pace,
)
from perdured.core.ends.cause import Cause
from perdured.core.ends.end import End
from perdured.core.pacing import count_history
from perdured.core.record import AttemptRecord, JobRecord
from support.seeds import make_random

HOUR, DAY = 3600.0, 86400.0
COSTS = st.floats(1e-4, 1e3)
TIMES = st.floats(1.0, 1e8)
COUNTS = st.integers(0, 1000)
HISTORIES = st.builds(History, st.floats(0, 1e8), COUNTS, COUNTS)


@pytest.mark.parametrize(
    ("cost", "mtbf", "interval"),
    [
        (5, HOUR, 188),
        (30, 3 * HOUR, 785),
        (30, 24 * HOUR, 2267),
        (0.1, 12 * HOUR, 92.9),
        (60, 60, 50.5),  # as long as the time to the next failure: Young says 85 s, which is never reached
        (600, 60, 60),
        (0, HOUR, 0),
        (5, math.inf, math.inf),
    ],
)
def test_the_optimum_is_youngs_for_rare_failures_and_stays_below_the_time_between_them(
    cost: float, mtbf: float, interval: float
) -> None:
    assert find_optimum(cost, mtbf) == pytest.approx(interval, rel=0.01)


@given(COSTS, TIMES)
def test_no_interval_nearby_costs_less(cost: float, mtbf: float) -> None:
    """The expected time for a second of work, by Daly's formula; its logarithm, since it overflows."""

    def log_price(interval: float) -> float:
        x = (interval + cost) / mtbf
        return (x + math.log1p(-math.exp(-x)) if x > 1e-9 else math.log(x)) - math.log(interval)

    best = find_optimum(cost, mtbf)
    assert all(log_price(best) <= log_price(best * factor) + 1e-6 for factor in (0.5, 0.9, 1.1, 2.0))


@given(COSTS, COSTS, TIMES)
def test_what_costs_more_is_done_less_often(one: float, other: float, mtbf: float) -> None:
    lower, higher = sorted((one, other))
    assert find_optimum(lower, mtbf) <= find_optimum(higher, mtbf) * (1 + 1e-6)
    assert choose_interval(lower, mtbf) <= choose_interval(higher, mtbf) * (1 + 1e-6)


@given(COSTS, TIMES, TIMES)
def test_what_fails_less_often_is_saved_less_often(cost: float, one: float, other: float) -> None:
    lower, higher = sorted((one, other))
    assert find_optimum(cost, lower) <= find_optimum(cost, higher) * (1 + 1e-6)
    assert choose_interval(cost, lower) <= choose_interval(cost, higher) * (1 + 1e-6)


@given(HISTORIES, COSTS, COSTS, st.booleans())
def test_all_saves_together_never_cost_more_than_the_ceiling(
    history: History, copy: float, write: float, has_memory: bool
) -> None:
    pace = choose_pace(history, Costs(copy, write), has_memory=has_memory)
    assert pace.overhead is not None
    assert pace.overhead <= CEILING * (1 + 1e-9)


@given(HISTORIES, COSTS, COSTS)
def test_a_snapshot_is_never_rarer_than_a_checkpoint_but_where_the_ceiling_says_so(
    history: History, copy: float, write: float
) -> None:
    pace = choose_pace(history, Costs(copy, write), has_memory=True)
    assert pace.snapshot_every is not None
    assert pace.save_every is not None
    assert pace.save_every >= SHORTEST
    if pace.overhead is not None and pace.overhead < CEILING * 0.999:
        assert pace.snapshot_every <= pace.save_every <= LONGEST


@given(HISTORIES, st.floats(0, 1e7))
def test_time_without_a_failure_makes_one_less_likely_and_a_failure_more(history: History, seconds: float) -> None:
    for expect in (expect_failure, expect_machine_loss, expect_any_failure):
        assert expect(history.after(seconds)) >= expect(history)
    assert expect_failure(History(history.run_seconds, history.failures + 1)) < expect_failure(history)
    assert expect_any_failure(history) <= min(expect_failure(history), expect_machine_loss(history))


def test_a_job_with_no_failures_yet_is_held_to_be_fragile_and_its_machine_to_be_sound() -> None:
    assert expect_failure(History()) == 20 * 60
    assert expect_machine_loss(History()) == DAY
    assert expect_failure(History(DAY)) == pytest.approx(2 * DAY, rel=0.01)


def test_after_a_few_failures_they_alone_count() -> None:
    assert expect_failure(History(10 * HOUR, 10)) == pytest.approx(HOUR, rel=0.05)


def test_before_anything_was_measured_it_saves_soon_to_measure_it() -> None:
    assert choose_pace(History(), Costs(), has_memory=True) == Pace(SHORTEST, 0.0)
    assert choose_pace(History(), Costs(), has_memory=False) == Pace(SHORTEST)


def test_a_pace_says_what_a_failure_costs() -> None:
    both = Pace(save_every=200, snapshot_every=12, copy=0.1, write=1.3)
    assert (both.failure_costs, both.machine_loss_costs) == (6, 101.3)
    assert both.overhead == pytest.approx(0.1 / 12.1 + 0.23 / 200.23)
    alone = Pace(save_every=200, write=0.8)
    assert (alone.failure_costs, alone.machine_loss_costs) == (100, 100)
    assert alone.overhead == pytest.approx(0.004, rel=0.01)
    assert Pace().overhead is Pace().failure_costs is Pace().machine_loss_costs is None


@given(st.builds(Pace, *[st.none() | st.floats(0, 1e9)] * len(Pace._fields)))
def test_a_pace_is_what_it_was_before_it_was_sent(pace: Pace) -> None:
    assert parse_pace(format_pace(pace)) == pace


@pytest.mark.parametrize("value", ["1", True, -1.0, math.inf, math.nan, [1]])
def test_a_pace_that_is_no_number_of_seconds_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="copy"):
        parse_pace({"copy": value})


# History ---------------------------------------------------------------------------------------------------------


def _attempt(number: int, cause: Cause | None, *, kept_until: float | None = None) -> AttemptRecord:
    end = None if cause is None else End(cause=cause, why="")
    started = 1000.0 * number
    ended = None if cause is None else started + 100
    return AttemptRecord(number=number, started_at=started, ended_at=ended, end=end, kept_until=kept_until)


def _history(*causes: Cause | None) -> History:
    attempts = tuple(_attempt(number, cause) for number, cause in enumerate(causes, 1))
    return count_history(JobRecord(id="a", name="a", submitted_at=0, attempts=attempts))


@pytest.mark.parametrize(
    ("causes", "history"),
    [
        ((), History()),
        ((None,), History()),
        ((Cause.EXCEPTION, Cause.HOST_MEMORY, None), History(200, 2, 0)),
        ((Cause.REBOOTED, Cause.UNKNOWN), History(0, 0, 2)),
        ((Cause.DONE, Cause.PREEMPTED, Cause.STOPPED, Cause.RUN_AGAIN), History(400, 0, 0)),
        ((Cause.DISK_FULL, Cause.IMPORT_ERROR, Cause.REFUSED), History(300, 0, 0)),
    ],
)
def test_ends_that_a_save_helps_against_are_failures(causes: tuple[Cause | None, ...], history: History) -> None:
    assert _history(*causes) == history


def test_an_end_that_nobody_saw_came_after_the_last_checkpoint() -> None:
    """A machine that was off for a week did not run for a week."""
    attempt = _attempt(1, Cause.REBOOTED, kept_until=1030.0)
    assert count_history(JobRecord(id="a", name="a", submitted_at=0, attempts=(attempt,))) == History(30, 0, 1)


# Simulated -------------------------------------------------------------------------------------------------------


class Job:
    """Trains for `work` seconds beside failures by chance; what was not saved is done again."""

    def __init__(self, cost: float, mtbf: float, seed: int) -> None:
        self.cost, self.mtbf, self.work = cost, mtbf, 100 * mtbf
        self._chance = random.Random(seed)

    def run(self, interval: float | None) -> float:
        """The time it takes. Without an interval it is chosen anew after each save, from what was seen until then."""
        done = wall = 0.0
        failures, next_failure = 0, self._chance.expovariate(1 / self.mtbf)
        while done < self.work:
            every = interval or choose_interval(self.cost, expect_failure(History(wall, failures)))
            segment = min(every, self.work - done)
            if wall + segment + self.cost > next_failure:
                wall, failures = next_failure, failures + 1
                next_failure = wall + self._chance.expovariate(1 / self.mtbf)
            else:
                wall, done = wall + segment + self.cost, done + segment
        return wall / self.work


@pytest.mark.parametrize(("cost", "mtbf"), [(0.1, 1200.0), (0.1, HOUR), (1.0, 4 * HOUR), (2.0, HOUR), (30.0, 4 * HOUR)])
def test_auto_takes_about_as_long_as_the_best_fixed_interval_that_honours_the_ceiling(cost: float, mtbf: float) -> None:
    """Which nobody knows beforehand."""
    seed = make_random().randrange(1 << 32)
    shortest = cost / CEILING - cost
    grid = [every for power in range(20) if (every := shortest * 1.5**power) < mtbf]
    fixed = {every: sum(Job(cost, mtbf, seed + n).run(every) for n in range(5)) / 5 for every in grid}
    auto = sum(Job(cost, mtbf, seed + n).run(None) for n in range(5)) / 5
    assert auto <= min(fixed.values()) * 1.03
    assert auto < fixed[grid[-1]]
