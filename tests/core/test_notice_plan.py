"""What a notice asks of a job: now, late, as far as it goes, or nothing; and how much of a deadline is counted on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.contract.deadline import MARGIN, RESERVE, Span
from perdured.contract.pacing import Pace
from perdured.core.notice_plan import (
    LONG,
    UNMEASURED,
    Speeds,
    find_start_fence,
    find_usable,
    join_pace,
    plan_notice,
    when_fence_falls,
)
from perdured.core.notices.merging import merge_notices
from perdured.core.notices.notice import Notice
from perdured.core.windows import Window
from support.jobs import NOW
from support.notices import MEASURED, answer, answered, make_notice

BROKEN = Window(source="aws", promised=120.0, kept=30.0)


def usable(*notices: Notice, windows: tuple[Window, ...] = ()) -> float:
    """Seconds that are counted on."""
    found = find_usable(merge_notices(notices), windows)
    assert found is not None
    return found.until - NOW


# How much of it is counted on -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "sureness", "seconds"),
    [
        (120.0, "exact", 118.0),
        (120.0, "not_before", 118.0),
        (30.0, "ceiling", 15.0),
        (30.0, "guess", 15.0),
        (2.0, "exact", 1.5),
        (0.0, "exact", 0.0),
    ],
)
def test_how_sure_a_deadline_is_enters_the_margin(left: float, sureness: str, seconds: float) -> None:
    assert usable(make_notice(left, sureness=sureness)) == pytest.approx(seconds)


def test_the_one_that_leaves_least_decides_not_the_one_with_the_earliest_deadline() -> None:
    exact, ceiling = make_notice(50.0, id="exact"), make_notice(60.0, id="ceiling", sureness="ceiling")
    assert answered(exact, ceiling).notice == "ceiling"
    assert usable(exact, ceiling) == usable(ceiling, exact) == 30.0


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=5), st.floats(0, 1e4))
def test_one_more_notice_never_leaves_more_time(lefts: list[float], more: float) -> None:
    notices = [make_notice(left, id=str(number)) for number, left in enumerate(lefts)]
    assert usable(*notices, make_notice(more, id="more")) <= usable(*notices)


def test_what_may_come_to_nothing_and_a_pause_ask_nothing() -> None:
    advice, pause = make_notice(None, follows="perhaps"), make_notice(30.0, id="pause", follows="pause")
    assert answer(advice, pause) is None
    assert answered(advice, make_notice(60.0, id="hard")).notice == "hard"


@pytest.mark.parametrize(("left", "seconds"), [(120.0, 28.0), (40.0, 8.0), (4.0, 0.75)])
def test_a_window_that_broke_teaches_how_much_of_the_next_is_there(left: float, seconds: float) -> None:
    assert usable(make_notice(left), windows=(BROKEN,)) == pytest.approx(seconds)
    assert usable(make_notice(left, source="gcp"), windows=(BROKEN,)) == usable(make_notice(left, source="gcp"))


@given(left=st.floats(0, 1e5), kept=st.floats(0, 200.0))
def test_no_margin_reaches_beyond_the_deadline_or_before_the_notice(left: float, kept: float) -> None:
    windows = (Window(source="aws", promised=120.0, kept=kept),)
    for sureness in ("exact", "not_before", "ceiling", "guess"):
        assert -1e-6 <= usable(make_notice(left, sureness=sureness), windows=windows) <= left


# The answer -----------------------------------------------------------------------------------------------------------


def test_what_fits_a_usual_window_is_saved_at_once_and_again_just_in_time() -> None:
    found = answered(make_notice(120.0))
    need = 4.5 * MARGIN + RESERVE
    assert (found.kind, found.saves_at_once, found.plan.is_sure) == ("save_late", True, True)
    assert 118.0 - need - 2.0 <= found.begin_at - NOW <= 118.0 - need
    assert found.why == "saves at once, trains on, and saves again in 1 min 50 s, just in time (4.5 s at most)"


def test_just_in_time_it_is_now_and_stays_so() -> None:
    notice = make_notice(120.0)
    begin_at = answered(notice).begin_at
    for now in (begin_at, begin_at + 1.0, begin_at + 3.0):
        late = answered(notice, now=now)
        assert (late.kind, late.begin_at) == ("save_now", now)
        assert late.plan.tier == "disk"


@given(window=st.floats(40.0, 1e5), passed=st.floats(0.0, 1.0))
def test_as_time_goes_by_a_late_save_does_not_move(window: float, passed: float) -> None:
    notice = make_notice(window)
    first = answered(notice)
    now = NOW + passed * (first.begin_at - NOW)
    again = answered(notice, now=now)
    if first.kind == "save_late" and now < first.begin_at:
        assert (again.kind, again.begin_at) == ("save_late", first.begin_at)


@pytest.mark.parametrize("sureness", ["ceiling", "guess"])
def test_in_a_window_that_somebody_guessed_it_saves_now(sureness: str) -> None:
    assert answered(make_notice(120.0, sureness=sureness)).kind == "save_now"
    assert answered(make_notice(3600.0, sureness=sureness)).kind == "save_late", "half of it is long enough"


def test_where_windows_broke_it_does_not_wait_in_the_next() -> None:
    assert answered(make_notice(120.0), windows=(BROKEN,)).kind == "save_now"


def test_a_short_window_is_not_waited_in() -> None:
    found = answered(make_notice(30.0))
    assert (found.kind, found.why) == (
        "save_now",
        "saves to the disk, in 4.5 s at most, of 28 s: sure; then it stands still",
    )


def test_what_may_fit_is_tried_at_once() -> None:
    found = answered(make_notice(5.0))
    assert (found.kind, found.plan.is_sure) == ("save_now", False)


def test_what_cannot_fit_is_not_begun_and_it_trains_on() -> None:
    found = answered(make_notice(1.0), speeds=Speeds(MEASURED._replace(snapshot_every=None)))
    assert (found.kind, found.saves, found.tier) == ("begin_nothing", False, None)
    assert found.why.startswith("nothing is begun: at its fastest it took 1.9 s, and there are 0.8 s; it trains on")


@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_doubt_makes_a_save_early_and_never_keeps_one_from_being_tried(kept: float) -> None:
    """After a machine that went at once, nothing of the next window can be counted on."""
    windows = (Window(source="aws", promised=120.0, kept=kept),)
    found = answered(make_notice(30.0), windows=windows)
    assert (found.kind, found.plan.is_sure, found.tier) == ("save_now", False, "disk")
    assert "can be counted on; then it stands still" in found.why
    assert answered(make_notice(1.0), windows=windows).kind == "begin_nothing"


def test_memory_alone_is_no_use_on_a_machine_that_goes() -> None:
    found = answered(make_notice(1.5))
    assert (found.kind, found.plan.tier, found.tier) == ("begin_nothing", "memory", None)
    assert not found.is_sure, "sure of what is of no use"
    assert "goes with the machine" in found.why


def test_where_the_disk_goes_with_the_machine_the_upload_is_needed_too() -> None:
    remote = Speeds(MEASURED, Span(10.0, 20.0), has_remote=True)
    assert answered(make_notice(60.0), speeds=remote).tier == "remote"
    short = answered(make_notice(10.0), speeds=remote)
    assert (short.kind, short.tier) == ("save_what_fits", "disk")
    assert answered(make_notice(10.0, disk="kept"), speeds=remote).kind == "save_now"
    unmeasured = answered(make_notice(60.0), speeds=remote._replace(upload=None))
    assert (unmeasured.kind, unmeasured.plan.is_sure) == ("save_now", False)


def test_what_was_never_measured_saves_now_or_two_minutes_before_the_end_of_a_long_window() -> None:
    assert answered(make_notice(120.0), speeds=Speeds()).kind == "save_now"
    late = answered(make_notice(3600.0), speeds=Speeds())
    assert (late.kind, late.begin_at) == ("save_late", NOW + 3598.0 - UNMEASURED)


def test_what_an_attempt_has_not_measured_yet_the_one_before_it_had() -> None:
    young = Pace(snapshot_every=None, write=3.0, fastest_write=3.0, slowest_write=3.0)
    joined = join_pace(young, MEASURED)
    assert joined == young._replace(copy=0.1, slowest_copy=0.2, slowest_step=0.3)
    assert (join_pace(None, MEASURED), join_pace(young, None), join_pace(None, None)) == (MEASURED, young, None)


def test_a_program_that_has_said_nothing_is_given_half_of_the_time() -> None:
    found = answered(make_notice(30.0), speeds=Speeds(is_silent=True))
    assert (found.kind, found.begin_at) == ("save_now", NOW + 14.0)


SECONDS = st.floats(0.001, 500.0)


@given(window=st.floats(0.0, 1e5), write=SECONDS, step=SECONDS, passed=st.floats(0.0, 1e5))
def test_what_is_sure_ends_before_the_deadline_and_what_is_late_was_sure(
    window: float, write: float, step: float, passed: float
) -> None:
    pace = Pace(write=write, fastest_write=write, slowest_write=write, slowest_step=step)
    found = plan_notice(merge_notices([make_notice(window)]), Speeds(pace), (), NOW + passed)
    assert found is not None
    if found.plan.is_sure and found.saves:
        assert found.begin_at + (step + write) * MARGIN + RESERVE <= found.until + 1e-6
    if found.kind == "save_late":
        assert found.plan.is_sure


# Starts ---------------------------------------------------------------------------------------------------------------


def test_nothing_is_started_where_the_end_is_near() -> None:
    near, far = merge_notices([make_notice(120.0)]), merge_notices([make_notice(3600.0)])
    assert find_start_fence(near, (), NOW) == "nothing is started here: AWS takes this spot instance back"
    assert when_fence_falls(near, (), NOW) is None
    assert find_start_fence(far, (), NOW) is None
    falls_at = when_fence_falls(far, (), NOW)
    assert falls_at == NOW + 3598.0 - LONG
    assert find_start_fence(far, (), falls_at + 1) is not None
    assert find_start_fence(merge_notices([]), (), NOW) is None
