"""What is decided about a job when a notice stands, and when it stands no more."""

from __future__ import annotations

from typing import Any

import pytest

from perdured.contract.pacing import Pace
from perdured.core.actions import GoOn, Launch, Park, Save, Stop
from perdured.core.decide import Decision, decide
from perdured.core.notice_plan import Answer
from perdured.core.observation import Held, Observation, Stand, Trouble
from perdured.core.parking import NOTICE, PATIENCE
from perdured.core.record import (
    JobRecord,
    Parked,
    ParkedInPlace,
    Queued,
    Running,
    Saving,
    Starting,
    Stopped,
    Waiting,
    exit_status,
)
from support.jobs import NOW, ended, held, lost, make_record, make_spec, observed
from support.notices import MEASURED, answered, make_notice

SPEC = make_spec()
STAND = Stand(step=1200, saved=True)
FENCE = "nothing is started here: AWS takes this spot instance back"
NEAR, FAR = answered(make_notice(30.0)), answered(make_notice(120.0))
HOPELESS = answered(make_notice(1.0))
SAVING = Saving(attempt=1, why=NOTICE, asked_at=NOW - 1)
IN_PLACE = ParkedInPlace(attempt=1, step=1200, saved=True)


def script(**seen: object) -> Held:
    """One that can stand still."""
    return held().model_copy(update={"can_park": True, **seen})


def see(
    record: JobRecord, attempt: Any = None, answer: Answer | None = None, *, now: float = NOW, **more: object
) -> Decision:
    observation: Observation = observed(attempt).model_copy(update={"answer": answer, **more})
    return decide(SPEC, record, observation, now)


# A script that can stand still ----------------------------------------------------------------------------------------


def test_it_is_asked_to_save_by_the_deadline_and_to_stand_still() -> None:
    decision = see(make_record(), script(), NEAR)
    assert decision.record.phase == Saving(attempt=1, why=NOTICE, asked_at=NOW)
    assert decision.actions == (Park(attempt=1, before=30.0),)
    assert decision.record.reason == (
        "AWS takes this spot instance back: saves to the disk, in 4.5 s at most, of 28 s: sure; then it stands still"
    )
    assert [event.kind for event in decision.events] == ["saving"]


def test_it_is_asked_again_until_its_keeper_is_seen_to_know() -> None:
    asked = make_record(SAVING)
    assert see(asked, script(), NEAR).actions == (Park(attempt=1, before=30.0),)
    accepted = see(asked, script(is_asked_to_park=True), NEAR)
    assert (accepted.record, accepted.actions) == (asked, ())


def test_once_it_stands_still_that_is_told_and_nothing_more_follows() -> None:
    decision = see(make_record(SAVING), script(is_asked_to_park=True, stand=STAND), NEAR)
    assert decision.record.phase == IN_PLACE
    assert decision.record.reason == "stands still at step 1200, saved; goes on when the notice is withdrawn"
    again = see(decision.record, script(is_asked_to_park=True, stand=STAND), NEAR)
    assert (again.record, again.actions, again.events) == (decision.record, (), ())
    assert exit_status(decision.record) is None, "it has not come to rest"


def test_what_its_saves_have_taken_is_kept_as_its_machine_may_go_now() -> None:
    standing = script(is_asked_to_park=True, stand=STAND)
    assert see(make_record(SAVING), standing, NEAR, pace=MEASURED).record.pace == MEASURED


def test_where_it_could_not_save_that_is_said() -> None:
    stand = Stand(step=7, saved=False)
    assert "not saved" in see(make_record(SAVING), script(is_asked_to_park=True, stand=stand), NEAR).record.reason


def test_a_notice_that_is_withdrawn_lets_it_go_on_in_place() -> None:
    standing = script(is_asked_to_park=True, stand=STAND)
    decision = see(make_record(IN_PLACE), standing)
    assert decision.record.phase == Running(attempt=1)
    assert decision.actions == (GoOn(attempt=1),)
    assert [event.kind for event in decision.events] == ["going_on"]
    assert see(decision.record, standing).actions == (GoOn(attempt=1),), "until its keeper is seen to know"
    assert see(decision.record, script()).actions == ()


def test_one_that_is_withdrawn_before_it_has_saved_lets_it_go_on_too() -> None:
    for seen in (script(), script(is_asked_to_park=True)):
        decision = see(make_record(SAVING), seen)
        assert (decision.record.phase, decision.actions) == (Running(attempt=1), (GoOn(attempt=1),))


def test_one_that_is_put_off_by_long_lets_it_go_on_and_by_little_does_not() -> None:
    standing, late = script(is_asked_to_park=True, stand=STAND), answered(make_notice(3600.0))
    assert late.begin_at > NOW + PATIENCE
    assert see(make_record(IN_PLACE), standing, late).actions == (GoOn(attempt=1),)
    little = answered(make_notice(60.0))
    assert NOW < little.begin_at < NOW + PATIENCE
    assert see(make_record(IN_PLACE), standing, little).record.phase == IN_PLACE


def test_time_that_runs_out_does_not_let_it_go_on() -> None:
    standing = script(is_asked_to_park=True, stand=STAND)
    assert not HOPELESS.saves
    assert see(make_record(IN_PLACE), standing, HOPELESS).record.phase == IN_PLACE
    assert see(make_record(SAVING), script(is_asked_to_park=True), HOPELESS).record.phase == SAVING


def test_with_time_enough_it_saves_at_once_trains_on_and_is_looked_at_just_in_time() -> None:
    decision = see(make_record(), script(), FAR)
    assert isinstance(decision.record.phase, Running)
    assert decision.actions == (Save(attempt=1, before=59.0),)
    again = see(decision.record, script(), FAR)
    assert (again.record, again.actions, again.wake_at) == (decision.record, (), FAR.begin_at)
    late = answered(make_notice(120.0), now=FAR.begin_at)
    just_in_time = see(decision.record, script(), late, now=FAR.begin_at)
    assert [action.kind for action in just_in_time.actions] == ["park"]


def test_after_it_is_withdrawn_it_runs_as_if_nothing_had_been() -> None:
    heeding = see(make_record(), script(), FAR).record
    decision = see(heeding, script())
    assert (decision.record.phase, decision.record.reason) == (Running(attempt=1), "attempt 1 is running")


def test_where_nothing_can_be_saved_nothing_is_asked_of_it_and_that_is_told_once() -> None:
    decision = see(make_record(), script(), HOPELESS)
    assert (decision.record.phase.kind, decision.actions) == ("running", ())
    assert "it trains on" in decision.record.reason
    assert [event.kind for event in decision.events] == ["note"]
    again = see(decision.record, script(), HOPELESS)
    assert (again.record, again.events) == (decision.record, ())


def test_what_is_told_to_stop_stops_and_what_hangs_is_ended_as_a_hang() -> None:
    standing = script(is_asked_to_park=True, stand=STAND)
    stopping = see(make_record(IN_PLACE, wish="stop"), standing, NEAR)
    assert [action.kind for action in stopping.actions] == ["stop"]
    hung = script(trouble=Trouble(kind="hang", why="no step for 10 s"))
    assert [action.kind for action in see(make_record(), hung, NEAR).actions] == ["dump", "stop"]
    asked = make_record(Saving(attempt=1, why="stop", asked_at=NOW), wish="stop")
    assert see(asked, script(stop_reason="stop"), NEAR).actions == ()


def test_what_begins_to_run_while_a_notice_stands_is_asked_next() -> None:
    started = see(make_record(Starting(attempt=1)), script(), NEAR).record
    assert started.phase == Running(attempt=1)
    assert [action.kind for action in see(started, script(), NEAR).actions] == ["park"]


def test_one_that_goes_on_by_itself_is_seen_to_run() -> None:
    decision = see(make_record(IN_PLACE), script())
    assert (decision.record.phase, decision.actions) == (Running(attempt=1), ())


@pytest.mark.parametrize("seen", [ended(1), lost(), lost(rebooted=True)])
def test_its_end_is_judged_like_any_other(seen: Any) -> None:
    assert see(make_record(IN_PLACE), seen).record.phase.kind == "waiting"


# A program that cannot ------------------------------------------------------------------------------------------------


def test_a_program_that_cannot_stand_still_is_asked_to_end_and_goes_on_when_it_is_withdrawn() -> None:
    asked = see(make_record(), held(), NEAR)
    assert asked.actions == (Stop(attempt=1, reason="preempted", grace=30.0),)
    assert asked.record.wish == "park"
    parked = see(asked.record, ended(75, stop_reason="preempted"), NEAR).record
    assert parked.phase == Parked(by_notice=True)
    assert see(parked, None, NEAR).record == parked
    assert see(parked, None, fence=FENCE).record == parked
    again = see(parked)
    assert again.record.phase == Queued(goes_on=True)
    assert again.record.reason == "the notice was withdrawn: going on"


def test_what_a_shutdown_parked_waits_for_the_next_daemon() -> None:
    assert see(make_record(Parked())).record.phase == Parked()


# The fence ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        make_record(Queued(), attempts=0),
        make_record(Queued()),
        make_record(Waiting(until=NOW)),
        make_record(Waiting(until=NOW + 99), wish="restart"),
        make_record(Parked(stepped_aside=True)),
    ],
)
def test_nothing_is_started_on_a_machine_that_is_about_to_die(record: JobRecord) -> None:
    kept_off = see(record, fence=FENCE)
    assert (kept_off.record.phase, kept_off.record.reason, kept_off.actions) == (record.phase, FENCE, ())
    assert [event.kind for event in kept_off.events] == ["fenced"]
    again = see(kept_off.record, fence=FENCE)
    assert (again.record, again.events) == (kept_off.record, ())
    assert any(isinstance(action, Launch) for action in see(kept_off.record).actions), "it is not forgotten"


def test_a_fence_is_no_reason_not_to_stop_or_to_wait() -> None:
    assert see(make_record(Queued(), wish="stop"), fence=FENCE).record.phase == Stopped()
    waiting = make_record(Waiting(until=NOW + 8))
    assert see(waiting, fence=FENCE).record == waiting


# What saves take, on record -------------------------------------------------------------------------------------------


def test_what_saves_take_is_on_record_as_soon_as_it_is_known() -> None:
    """The machine may go at any time, and the attempt on the next one would not know what fits."""
    decision = see(make_record(), held(), pace=MEASURED)
    assert decision.record.pace == MEASURED
    again = see(decision.record, held(), pace=MEASURED._replace(slowest_step=MEASURED.slowest_step * 2))  # type: ignore[operator]
    assert again.record == decision.record, "not at every measurement: each note is a write"


@pytest.mark.parametrize("attempt", [script(stand=STAND), lost(rebooted=True)])
def test_an_attempt_that_had_no_time_to_measure_takes_nothing_from_what_was_known(attempt: Any) -> None:
    """It was preempted in its restore."""
    young = Pace(write=9.0, fastest_write=9.0, slowest_write=9.0)
    record = make_record(SAVING, pace=MEASURED)
    pace = see(record, attempt, NEAR, pace=young).record.pace
    assert pace is not None
    assert (pace.slowest_write, pace.slowest_step) == (9.0, MEASURED.slowest_step)


# The lease ------------------------------------------------------------------------------------------------------------

UNLEASED = "host-b holds lease 2: the job goes on there"


@pytest.mark.parametrize("phase", [Queued(), Waiting(until=NOW), Parked(stepped_aside=True)])
def test_nothing_is_started_of_which_another_host_has_the_lease(phase: Any) -> None:
    kept_off = see(make_record(phase), unleased=UNLEASED)
    assert (kept_off.record.phase, kept_off.record.reason, kept_off.actions) == (phase, UNLEASED, ())
    assert any(isinstance(action, Launch) for action in see(kept_off.record).actions), "it is not forgotten"


def test_what_had_to_end_for_a_notice_comes_back_only_with_a_lease() -> None:
    parked = make_record(Parked(by_notice=True))
    assert see(parked, unleased=UNLEASED).record == parked
    assert see(parked).record.phase == Queued(goes_on=True)


def test_what_stands_still_goes_on_only_with_a_lease() -> None:
    """It gave it back, and another host may have it."""
    standing = script(is_asked_to_park=True, stand=STAND)
    still = see(make_record(IN_PLACE), standing, unleased=UNLEASED)
    assert (still.record.phase, still.actions) == (IN_PLACE, ())
    assert see(make_record(IN_PLACE), standing).actions == (GoOn(attempt=1),)


def test_a_lease_that_ran_out_ends_an_attempt_without_counting_as_a_failure() -> None:
    """It comes back when this host has the lease again."""
    after = see(make_record(failures=4), ended(143, stop_reason="lease")).record
    assert (after.phase.kind, after.failures) == ("waiting", 4)
    assert after.attempts[-1].cause == "preempted"
    assert "its lease ran out" in after.reason
