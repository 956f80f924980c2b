"""What is decided, situation by situation, and how it is said."""

from __future__ import annotations

import pytest

from perdured.core.actions import Clean, Forget, Launch, Stop
from perdured.core.decide import Decision, decide
from perdured.core.ends.cause import Cause
from perdured.core.observation import Absent, AttemptSeen, Held
from perdured.core.policy import backoff_delay
from perdured.core.queue.turn import ASIDE, GO, Turn
from perdured.core.record import (
    Failed,
    JobRecord,
    Parked,
    Queued,
    Running,
    Saving,
    Starting,
    Stopped,
    Waiting,
    Wish,
    exit_status,
)
from perdured.core.steps import MAX_LAUNCHES, RECHECK
from perdured.core.units import human_duration
from support.jobs import (
    NOT_YET,
    NOW,
    OUTRANKED,
    PHASES,
    PID,
    ended,
    held,
    killed,
    lost,
    make_attempt,
    make_record,
    make_spec,
    not_started,
    observed,
    orphaned,
    refused,
    unverifiable,
)

SPEC = make_spec()
UNDER_WAY = ("starting", "running", "saving")
TO_REST: dict[Wish, str] = {"stop": "stopped", "park": "parked", "remove": "stopped"}


def see(
    record: JobRecord, seen: AttemptSeen | None = None, *, saved: int | None = None, now: float = NOW, turn: Turn = GO
) -> Decision:
    return decide(SPEC, record, observed(seen, saved=saved).model_copy(update={"turn": turn}), now)


# Starting -------------------------------------------------------------------------------------------------------------


def test_a_queued_job_starts_its_first_attempt() -> None:
    decision = see(make_record(Queued(), attempts=0))
    assert decision.record.phase == Starting(attempt=1)
    assert decision.actions == (Launch(attempt=1, is_first=True),)
    assert decision.record.reason == "starting attempt 1"


def test_the_next_attempt_has_the_next_number_and_knows_why_it_was_needed() -> None:
    decision = see(make_record(Waiting(until=NOW), attempts=3))
    assert decision.record.phase == Starting(attempt=4, restart_reason="exit code 1")
    assert decision.actions == (Launch(attempt=4, restart_reason="exit code 1"),)
    assert decision.record.reason == "starting attempt 4: exit code 1"


def test_a_job_waits_for_its_turn_however_it_is_asked_to_start() -> None:
    for wish in ("run", "restart"):
        decision = see(make_record(Queued(), wish=wish, attempts=0), turn=NOT_YET)
        assert (decision.record.phase, decision.record.wish, decision.actions) == (Queued(), "run", ())


def test_after_its_backoff_a_job_whose_place_is_gone_is_queued_and_says_what_for() -> None:
    decision = see(make_record(Waiting(until=NOW)), turn=NOT_YET)
    assert decision.record.phase == Queued(goes_on=True)
    assert decision.record.reason == "queued: needs 4 CPUs, 1 free"
    assert see(make_record(Waiting(until=NOW + 1)), turn=NOT_YET).record.phase.kind == "waiting"


def test_who_waited_between_two_attempts_is_told_why_the_one_before_ended() -> None:
    assert see(make_record(Queued(goes_on=True), attempts=4)).record.reason == "starting attempt 5: exit code 1"


def test_what_was_asked_for_is_not_told_as_if_its_cause_were_the_end_before() -> None:
    """ "starting attempt 5: done" says nothing."""
    assert see(make_record(Queued(), attempts=4)).record.reason == "starting attempt 5: asked to run again"
    waiting = make_record(Waiting(until=NOW + 99), wish="restart")
    assert see(waiting).record.reason == "starting attempt 2: asked to run again"
    restarting = see(make_record(wish="restart"), ended(75, stop_reason="restart"), saved=7).record
    assert restarting.reason == "restarting as attempt 2: asked to restart"
    assert see(restarting).record.reason == "starting attempt 2: asked to restart"


def test_an_exit_with_75_is_only_told_as_saved_where_something_was_saved() -> None:
    why = "asked to run again, with no new checkpoint"
    for newest in (None, 7):
        record = make_record(progress=newest)
        assert see(record, ended(75), saved=newest).record.attempts[-1].why == why


def test_a_started_attempt_runs_once_its_leader_is_known() -> None:
    decision = see(make_record(Starting(attempt=1)), held())
    assert decision.record.phase == Running(attempt=1)
    assert decision.record.reason == "attempt 1 is running"
    assert (decision.record.attempts[0].pid, decision.record.attempts[0].started_at) == (PID + 1, NOW - 50)


def test_a_keeper_without_a_leader_is_waited_for() -> None:
    """It may still end without having run anything; were that a loss, a failure would be counted for nothing."""
    record = make_record(Starting(attempt=1))
    assert see(record, Held()) == Decision(record, (), (), NOW + RECHECK)


def test_an_intent_that_a_dead_daemon_left_is_carried_out_under_the_same_number() -> None:
    decision = see(make_record(Starting(attempt=2, restart_reason="exit code 1")), Absent())
    assert decision.actions == (Launch(attempt=2, restart_reason="exit code 1"),)
    assert decision.record.phase == Starting(attempt=2, restart_reason="exit code 1", launches=2)


def test_a_keeper_that_never_comes_up_is_a_failure_in_the_end() -> None:
    decision = see(make_record(Starting(attempt=1, launches=MAX_LAUNCHES)), Absent())
    assert decision.record.phase.kind == "waiting"
    assert decision.record.failures == 1
    assert decision.record.attempts[0].why == "its keeper did not come up"


def test_where_the_attempt_resumed_from_is_noted_with_its_process() -> None:
    decision = decide(SPEC, make_record(Starting(attempt=1)), observed(held(), resumed_from=1200), NOW)
    assert decision.record.attempts[0].resumed_from_step == 1200


def test_what_an_attempt_reported_last_is_kept_with_its_end() -> None:
    told = {"step": 12, "loss": 0.5, "total": 100}
    decision = decide(make_spec(), make_record(), observed(ended(0), saved=12).model_copy(update=told), NOW)
    assert (decision.record.loss, decision.record.total) == (0.5, 100)
    silent = decide(make_spec(), make_record(loss=0.5, total=100), observed(ended(1)), NOW)
    assert (silent.record.loss, silent.record.total) == (0.5, 100), "nobody told of it: the daemon was away"
    at_end = ended(1)
    at_end = at_end.model_copy(update={"exit": at_end.exit.model_copy(update=told)})
    recorded = decide(make_spec(), make_record(), observed(at_end), NOW)
    assert (recorded.record.loss, recorded.record.total) == (0.5, 100), "the keeper wrote it down for a daemon away"
    running = decide(make_spec(), make_record(), observed(held()).model_copy(update=told), NOW)
    assert running.record.loss is None, "each step would be a write"


def test_a_snapshot_that_was_lost_with_the_attempt_is_noted() -> None:
    at_end = ended(1)
    at_end = at_end.model_copy(update={"exit": at_end.exit.model_copy(update={"not_saved": "No space left on device"})})
    record = decide(make_spec(), make_record(), observed(at_end), NOW).record
    assert record.attempts[-1].not_saved == "No space left on device"


@pytest.mark.parametrize("seen", [ended(1), lost(), orphaned(), killed(9)])
def test_process_and_start_are_noted_also_when_nobody_watched(seen: AttemptSeen) -> None:
    attempt = see(make_record(Starting(attempt=1)), seen).record.attempts[0]
    assert (attempt.pid, attempt.started_at) == (PID + 1, NOW - 50)


# An end nobody asked for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_exit_0_is_success(phase: str) -> None:
    decision = see(make_record(PHASES[phase], failures=3), ended(0), saved=900)
    assert decision.record.phase.kind == "succeeded"
    assert decision.record.reason == "done at step 900"
    assert (decision.record.attempts[0].exit_code, decision.record.attempts[0].ended_at) == (0, NOW - 2)
    assert (decision.record.ended_at, decision.record.wish) == (NOW, "run")


@pytest.mark.parametrize("wish", ["stop", "park", "restart"])
def test_exit_0_is_success_also_if_a_wish_came_in_that_the_keeper_never_heard(wish: Wish) -> None:
    assert see(make_record(wish=wish), ended(0)).record.phase.kind == "succeeded"


@pytest.mark.parametrize("wish", ["run", "stop", "park", "restart"])
@pytest.mark.parametrize("stop_reason", [None, "stop"])
def test_exit_78_is_never_retried(wish: Wish, stop_reason: str | None) -> None:
    decision = see(make_record(wish=wish), ended(78, stop_reason=stop_reason))
    assert decision.record.phase == Failed()
    assert decision.record.failures == 0


def test_a_command_that_cannot_be_started_is_never_retried() -> None:
    decision = see(make_record(Starting(attempt=1)), not_started("cannot start 'pithon': no such command"))
    assert decision.record.phase == Failed()
    assert decision.record.reason == "cannot start 'pithon': no such command"


@pytest.mark.parametrize("code", [1, 2, 3, 74, 76, 77, 79, 124, 125, 126, 127, 143, 255])
def test_every_other_exit_code_is_a_failure(code: int) -> None:
    decision = see(make_record(), ended(code))
    assert (decision.record.phase.kind, decision.record.failures) == ("waiting", 1)
    assert decision.record.attempts[0].exit_code == code


@pytest.mark.parametrize("signal", [1, 6, 9, 11, 15])
def test_a_death_by_a_signal_that_we_did_not_send_is_a_failure(signal: int) -> None:
    decision = see(make_record(), killed(signal))
    assert (decision.record.phase.kind, decision.record.failures) == ("waiting", 1)
    assert decision.record.attempts[0].why == f"killed by signal {signal}"


def test_the_wait_is_said_with_cause_and_budget() -> None:
    """As the design page has it."""
    record = make_record(attempts=3, failures=1, progress=1200)
    decision = see(record, ended(1), saved=1200)
    delay = backoff_delay(SPEC.restart.backoff, 2, record.id)
    assert decision.record.reason == (
        f"waiting {human_duration(delay)} before attempt 4: exit code 1, no progress since step 1200 (2 of 5)"
    )
    assert decision.record.phase == Waiting(until=NOW + delay)
    assert decision.wake_at == NOW + delay


def test_a_wait_without_any_checkpoint_says_so() -> None:
    assert see(make_record(), ended(1)).record.reason.endswith(
        "before attempt 2: exit code 1, no checkpoint yet (1 of 5)"
    )


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_job_is_given_up_exactly_at_its_limit_of_failures(limit: int) -> None:
    spec = make_spec(f"[restart]\nfailures = {limit}")
    record = make_record()
    for failure in range(1, limit):
        record = decide(spec, record, observed(ended(1)), NOW).record
        assert (record.phase.kind, record.failures) == ("waiting", failure)
        record = record.but(phase=Running(attempt=1))
    decision = decide(spec, record, observed(ended(1)), NOW)
    assert decision.record.phase == Failed()
    count = "1 failure" if limit == 1 else f"{limit} failures in a row"
    assert decision.record.reason == f"exit code 1; gave up after {count} without progress"


@pytest.mark.parametrize("seen", [ended(1), killed(9), lost()])
def test_progress_resets_the_budget_and_the_restart_is_immediate(seen: AttemptSeen) -> None:
    decision = see(make_record(failures=4, progress=100), seen, saved=101)
    assert decision.record.phase == Waiting(until=NOW)
    assert (decision.record.failures, decision.record.progress) == (0, 101)
    assert decision.record.reason.startswith("restarting as attempt 2: ")


@pytest.mark.parametrize("seen", [ended(75), ended(1, stop_reason="preempted"), lost(rebooted=True)])
def test_progress_resets_the_budget_also_where_the_end_was_no_failure(seen: AttemptSeen) -> None:
    assert see(make_record(failures=4, progress=100), seen, saved=101).record.failures == 0


def test_after_progress_all_failures_of_the_budget_are_there_again() -> None:
    record = see(make_record(failures=4, progress=100), ended(1), saved=101).record
    ends = 0
    while record.phase != Failed():
        record = see(record.but(phase=Running(attempt=1)).with_attempt(make_attempt()), ended(1), saved=101).record
        ends += 1
    assert ends == SPEC.restart.failures


def test_a_checkpoint_that_was_there_before_is_no_progress() -> None:
    record = make_record().with_attempt(make_attempt(resumed_from_step=1000))
    assert see(record, ended(1), saved=1000).record.failures == 1


def test_each_failure_waits_longer_than_the_shortest_wait_of_the_one_before() -> None:
    waits = []
    for failures in range(4):
        decision = see(make_record(failures=failures), ended(1))
        assert isinstance(decision.record.phase, Waiting)
        waits.append(decision.record.phase.until - NOW)
    assert all(2.0**n / 2 <= wait <= 2.0**n for n, wait in enumerate(waits))


def test_what_an_attempt_kept_is_noted_with_it() -> None:
    assert see(make_record(), ended(1), saved=100).record.attempts[0].kept_until == NOW - 5
    assert see(make_record(progress=100), ended(1), saved=100).record.attempts[0].kept_until is None


# Exit 75 --------------------------------------------------------------------------------------------------------------


def test_exit_75_is_never_a_failure() -> None:
    record = make_record(failures=2)
    for number in range(1, 30):
        record = see(record.with_attempt(make_attempt(number)).but(phase=Running(attempt=number)), ended(75)).record
        assert (record.phase.kind, record.failures) == ("waiting", 2)
        assert record.attempts[-1].why == "asked to run again, with no new checkpoint"


def test_exit_75_with_progress_restarts_at_once_and_without_backs_off() -> None:
    at_once = see(make_record(), ended(75), saved=100)
    assert (at_once.wake_at, at_once.record.reason) == (NOW, "restarting as attempt 2: saved and asked to run again")
    record, waits = at_once.record, []
    for number in range(2, 14):
        record = record.with_attempt(make_attempt(number)).but(phase=Running(attempt=number))
        record = see(record, ended(75, number=number), saved=100).record
        assert isinstance(record.phase, Waiting)
        waits.append(record.phase.until - NOW)
    assert all(2.0**n / 2 <= wait <= 2.0**n for n, wait in enumerate(waits[:8]))
    assert 150.0 <= waits[-1] <= 300.0


# The ground, the keeper, the machine ----------------------------------------------------------------------------------


def test_ground_that_is_unfit_for_now_is_tried_again_within_the_budget() -> None:
    record = make_record(Starting(attempt=1)).with_attempt(make_attempt(pid=None, started_at=None))
    decision = see(record, refused("the disk is full"), saved=500)
    assert (decision.record.phase.kind, decision.record.failures) == ("waiting", 1)
    assert "before attempt 2: the disk is full, no progress since step 500 (1 of 5)" in decision.record.reason
    last = see(record.but(failures=4), refused("the disk is full")).record
    assert (last.phase, last.reason) == (
        Failed(),
        "the disk is full; gave up after 5 failures in a row without progress",
    )


def test_ground_that_is_unfit_for_good_ends_the_job_at_once() -> None:
    decision = see(make_record(Starting(attempt=1)), refused("no valid checkpoint is left", permanent=True))
    assert (decision.record.phase, decision.record.reason) == (Failed(), "no valid checkpoint is left")


@pytest.mark.parametrize("permanent", [False, True])
def test_a_job_that_was_to_end_anyway_does_not_fail_for_unfit_ground(permanent: bool) -> None:
    record = make_record(Starting(attempt=1), wish="stop")
    assert see(record, refused(permanent=permanent)).record.phase == Stopped()


@pytest.mark.parametrize("phase", UNDER_WAY)
@pytest.mark.parametrize("seen", [ended(1, is_clean=False), ended(0, is_clean=False), lost(is_clean=False)])
@pytest.mark.parametrize("wish", ["run", "stop", "restart", "remove"])
def test_nothing_follows_an_end_before_nothing_of_the_attempt_lives(phase: str, seen: AttemptSeen, wish: Wish) -> None:
    decision = see(make_record(PHASES[phase], wish=wish), seen)
    assert decision.record.phase.kind == phase
    assert decision.actions == (Clean(attempt=1),)
    assert decision.wake_at is not None


def test_an_exit_nobody_saw_is_unknown_and_a_failure_never_a_success() -> None:
    decision = see(make_record(), lost())
    assert (decision.record.phase.kind, decision.record.failures) == ("waiting", 1)
    assert decision.record.attempts[0].why == "keeper and job died; the exit is unknown"
    assert decision.record.attempts[0].exit_code is None


def test_a_reboot_is_not_counted_and_the_restart_is_immediate() -> None:
    decision = see(make_record(failures=4), lost(rebooted=True, is_clean=False))
    assert decision.record.phase == Waiting(until=NOW)
    assert decision.record.failures == 4


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_an_orphan_goes_on_and_is_looked_at_again(phase: str) -> None:
    decision = see(make_record(PHASES[phase]), orphaned())
    assert decision.actions == ()
    assert decision.record.phase.kind == ("saving" if phase == "saving" else "running")
    assert f"pid {PID + 1}" in decision.record.reason
    assert decision.wake_at == NOW + RECHECK


def test_an_orphan_is_told_of_once() -> None:
    first = see(make_record(), orphaned())
    assert [event.kind for event in first.events] == ["orphaned"]
    assert see(first.record, orphaned()).events == ()


@pytest.mark.parametrize("phase", UNDER_WAY)
@pytest.mark.parametrize("wish", ["run", "stop", "park", "restart", "remove"])
def test_what_cannot_be_observed_is_left_alone(phase: str, wish: Wish) -> None:
    record = make_record(PHASES[phase], wish=wish)
    decision = see(record, unverifiable())
    assert decision.actions == ()
    assert decision.record == record.but(reason=decision.record.reason)
    assert "run.json is garbled" in decision.record.reason
    assert decision.wake_at == NOW + RECHECK


@pytest.mark.parametrize(
    ("phase", "seen", "wish"),
    [("running", held(), "run"), ("saving", held(stop_reason="stop"), "stop"), ("saving", held(), "stop")],
)
def test_the_reason_recovers_once_it_can_be_observed_again(phase: str, seen: AttemptSeen, wish: Wish) -> None:
    record = see(make_record(PHASES[phase], wish=wish), seen).record
    blind = see(record, unverifiable()).record
    assert blind.reason != record.reason
    assert see(blind, seen).record == record


# Asked to end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wish", "phase"), [("stop", Stopped()), ("park", Parked())])
@pytest.mark.parametrize("before", ["queued", "waiting"])
def test_a_job_that_does_not_run_comes_to_rest_at_once(wish: Wish, phase: object, before: str) -> None:
    decision = see(make_record(PHASES[before], wish=wish, progress=7))
    assert decision.record.phase == phase
    assert decision.record.reason == f"{decision.record.phase.kind} at step 7"
    assert (decision.record.wish, decision.record.ended_at, decision.actions) == ("run", NOW, ())


@pytest.mark.parametrize("phase", ["starting", "running"])
@pytest.mark.parametrize(
    ("wish", "why"), [("stop", "stop"), ("park", "preempted"), ("restart", "restart"), ("remove", "stop")]
)
@pytest.mark.parametrize("seen", [held(), orphaned()])
def test_a_job_that_runs_is_asked_to_save_and_end(phase: str, wish: Wish, why: str, seen: AttemptSeen) -> None:
    decision = see(make_record(PHASES[phase], wish=wish), seen)
    assert decision.record.phase == Saving(attempt=1, why=why, asked_at=NOW)
    assert decision.record.reason == f"asked to save and end ({why}), at most 2 min"
    assert decision.actions == (Stop(attempt=1, reason=why, grace=120.0),)
    assert decision.record.wish == wish


def test_a_stop_is_repeated_until_the_keeper_has_accepted_it() -> None:
    record = make_record(PHASES["saving"], wish="stop")
    again = see(record, held())
    assert again.actions == (Stop(attempt=1, reason="stop", grace=120.0),)
    assert again.wake_at == NOW + RECHECK
    accepted = see(record, held(stop_reason="stop"))
    assert accepted.actions == ()
    assert accepted.wake_at is not None, "it is looked for where it does not end"
    assert accepted.wake_at > NOW + 120.0 - RECHECK


def test_an_orphan_that_does_not_end_within_the_grace_is_killed() -> None:
    record = see(make_record(wish="stop"), orphaned()).record
    within, after = NOW + 119.0, NOW + 121.0
    assert see(record, orphaned(), now=within).actions == (Stop(attempt=1, reason="stop", grace=120.0),)
    assert see(record, orphaned(), now=after).actions == (Clean(attempt=1),)


def test_a_clock_that_was_set_back_does_not_stretch_the_grace_of_an_orphan() -> None:
    record = see(make_record(wish="stop"), orphaned()).record
    yesterday = NOW - 86_400.0
    record = see(record, orphaned(), now=yesterday).record
    assert see(record, orphaned(), now=yesterday + 121.0).actions == (Clean(attempt=1),)


@pytest.mark.parametrize(("wish", "kind"), [("stop", "stopped"), ("park", "parked"), ("remove", "stopped")])
@pytest.mark.parametrize(
    "seen",
    [
        ended(0, stop_reason="stop"),
        ended(75, stop_reason="stop"),
        ended(1, stop_reason="stop"),
        killed(15, stop_reason="stop"),
        killed(9, stop_reason="stop", is_late=True),
        ended(1),
        ended(75),
        killed(9),
        lost(),
        lost(rebooted=True),
    ],
)
def test_however_it_ends_a_job_that_was_asked_to_end_has_ended(wish: Wish, kind: str, seen: AttemptSeen) -> None:
    """Without a checkpoint too; what it was worth, the exit status says."""
    for saved in (None, 100):
        decision = see(make_record(PHASES["saving"], wish=wish), seen, saved=saved)
        assert decision.record.phase.kind == kind
        assert decision.record.failures == 0
        assert decision.record.wish == ("remove" if wish == "remove" else "run")


def test_a_stop_before_anything_ran_needs_no_process() -> None:
    decision = see(make_record(Starting(attempt=1), wish="stop"), Absent())
    assert (decision.record.phase, decision.actions) == (Stopped(), ())
    assert decision.record.attempts[0].why == "never started"


def test_a_stop_that_somebody_else_asked_for_is_taken_note_of() -> None:
    """The keeper got SIGTERM: the machine, or its unit, goes down."""
    decision = see(make_record(), held(stop_reason="preempted"))
    assert decision.record.phase == Saving(attempt=1, why="preempted", asked_at=NOW)
    assert decision.actions == ()
    assert [event.kind for event in decision.events] == ["saving"]


@pytest.mark.parametrize("phase", ["starting", "running"])
def test_a_job_that_is_outranked_saves_and_says_for_whom(phase: str) -> None:
    decision = see(make_record(PHASES[phase]), held(), turn=OUTRANKED)
    assert decision.record.phase == Saving(attempt=1, why=ASIDE, asked_at=NOW)
    assert decision.actions == (Stop(attempt=1, reason=ASIDE, grace=120.0),)
    assert decision.record.reason == (
        "job urgent (big), of priority 5, needs its place: asked to save and step aside, at most 2 min"
    )


def test_it_is_told_to_step_aside_again_until_its_keeper_has_heard_also_if_the_other_has_left_meanwhile() -> None:
    saving = make_record(Saving(attempt=1, why=ASIDE, asked_at=NOW - 1))
    for turn in (OUTRANKED, GO):
        assert see(saving, held(), turn=turn).actions == (Stop(attempt=1, reason=ASIDE, grace=120.0),)
        assert see(saving, held(stop_reason=ASIDE), turn=turn).actions == ()


@pytest.mark.parametrize("code", [0, 1, 75])
def test_what_stepped_aside_comes_back_by_itself_when_its_turn_comes_and_not_before(code: int) -> None:
    """It is no failure, and nobody who waits for the job is told that it rests."""
    saving = make_record(Saving(attempt=1, why=ASIDE, asked_at=NOW - 1), failures=3)
    parked = see(saving, ended(code, stop_reason=ASIDE), turn=NOT_YET).record
    assert (parked.phase, parked.failures, parked.is_resting) == (Parked(stepped_aside=True), 3, False)
    assert (parked.attempts[0].cause, exit_status(parked)) == (Cause.PREEMPTED, None)
    assert see(parked, turn=NOT_YET).record == parked
    back = see(parked, turn=GO)
    assert (back.record.phase.kind, back.record.reason) == ("starting", "starting attempt 2: it had stepped aside")


def test_what_stepped_aside_rests_when_the_machine_goes_down_and_stays_stopped_when_stopped() -> None:
    aside = make_record(Parked(stepped_aside=True))
    for wish, phase in (("park", Parked()), ("stop", Stopped())):
        record = see(aside.but(wish=wish), turn=NOT_YET).record
        assert (record.phase, record.is_resting, record.wish) == (phase, True, "run")


@pytest.mark.parametrize("wish", ["stop", "park", "remove"])
def test_what_a_user_asks_of_a_job_that_steps_aside_counts_more(wish: Wish) -> None:
    saving = make_record(Saving(attempt=1, why=ASIDE, asked_at=NOW - 1), wish=wish)
    assert see(saving, ended(75, stop_reason=ASIDE), turn=NOT_YET).record.is_resting


def test_an_orphan_is_not_told_to_step_aside() -> None:
    """Nobody would hold its deadline."""
    assert see(make_record(), orphaned(), turn=OUTRANKED).actions == ()


@pytest.mark.parametrize(
    "seen",
    [
        ended(0, stop_reason="preempted"),
        ended(75, stop_reason="preempted"),
        ended(1, stop_reason="preempted"),
        killed(15, stop_reason="preempted"),
        killed(9, stop_reason="preempted", is_late=True),
    ],
)
def test_a_preemption_is_neither_failure_nor_success_and_the_job_goes_on(seen: AttemptSeen) -> None:
    for phase in ("running", "saving"):
        decision = see(make_record(PHASES[phase], failures=4), seen, saved=100)
        assert (decision.record.phase.kind, decision.record.failures) == ("waiting", 0)
        assert decision.wake_at == NOW
        assert (decision.record.attempts[0].why or "").startswith("preempted")


def test_a_preemption_without_progress_goes_on_with_the_budget_it_had() -> None:
    assert see(make_record(failures=4), ended(75, stop_reason="preempted")).record.failures == 4


def test_a_kill_at_the_end_of_the_grace_is_said() -> None:
    record = see(make_record(PHASES["saving"], wish="stop"), killed(9, stop_reason="stop", is_late=True)).record
    assert record.attempts[0].why == "stop, killed when the grace was over"
    assert record.attempts[0].signal == 9


def test_a_stop_that_was_taken_back_before_the_keeper_heard_of_it_leaves_the_job_running() -> None:
    decision = see(make_record(PHASES["saving"], wish="run"), held())
    assert decision.record.phase == Running(attempt=1)


# Restart, resume, remove ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen", [ended(75, stop_reason="restart"), ended(0, stop_reason="restart"), ended(1), lost(), refused()]
)
def test_a_restart_by_hand_follows_at_once_with_a_new_budget(seen: AttemptSeen) -> None:
    record = see(make_record(PHASES["saving"], wish="restart", failures=4), seen).record
    assert (record.phase.kind, record.failures, record.wish) == ("waiting", 0, "run")
    assert see(record).record.phase.kind == "starting"


def test_a_restart_by_hand_ends_the_wait_and_begins_a_new_budget() -> None:
    decision = see(make_record(PHASES["waiting"], wish="restart", failures=4))
    assert decision.record.phase == Starting(attempt=2, restart_reason="exit code 1")
    assert (decision.record.failures, decision.record.wish) == (0, "run")


@pytest.mark.parametrize(("phase", "failures"), [("failed", 0), ("stopped", 0), ("succeeded", 0), ("parked", 5)])
def test_a_job_at_rest_is_queued_again_and_by_hand_its_budget_is_new(phase: str, failures: int) -> None:
    """A parked job only goes on where it was: the machine is back, and nobody judged its failures anew."""
    record = make_record(PHASES[phase], wish="restart", failures=5, ended_at=NOW - 9)
    decision = see(record)
    assert (decision.record.phase, decision.record.failures) == (Queued(), failures)
    assert (decision.record.wish, decision.record.ended_at) == ("run", None)
    assert see(decision.record).record.phase == Starting(attempt=2, restart_reason="exit code 1")


@pytest.mark.parametrize("phase", ["parked", "stopped", "succeeded", "failed"])
@pytest.mark.parametrize("wish", ["stop", "park"])
def test_a_job_at_rest_stays_there(phase: str, wish: Wish) -> None:
    decision = see(make_record(PHASES[phase], wish=wish))
    stays = "stopped" if (phase, wish) == ("parked", "stop") else phase
    assert (decision.record.phase.kind, decision.record.wish, decision.actions) == (stays, "run", ())


def test_a_parked_job_that_is_stopped_does_not_go_on_when_the_machine_is_back() -> None:
    assert see(make_record(Parked(), wish="stop")).record.phase == Stopped()


@pytest.mark.parametrize("phase", ["queued", "waiting", "parked", "stopped", "succeeded", "failed"])
def test_a_job_without_a_process_is_removed_at_once_and_again_if_that_was_cut_short(phase: str) -> None:
    decision = see(make_record(PHASES[phase], wish="remove"))
    assert decision.actions == (Forget(),)
    assert see(decision.record).actions == (Forget(),)


@pytest.mark.parametrize("phase", UNDER_WAY)
@pytest.mark.parametrize(
    "end", [ended(0), ended(0, stop_reason="stop"), ended(75), ended(78), ended(1), not_started(), lost(), refused()]
)
def test_a_job_that_runs_ends_first_and_is_removed_then(phase: str, end: AttemptSeen) -> None:
    asked = see(make_record(PHASES[phase], wish="remove"), held())
    assert [action.kind for action in asked.actions] == ["stop"]
    rested = see(asked.record, end).record
    assert rested.is_resting
    assert see(rested).actions == (Forget(),)


# Waiting --------------------------------------------------------------------------------------------------------------


def test_a_wait_ends_at_its_time_and_not_before() -> None:
    record = make_record(Waiting(until=NOW + 8))
    assert see(record) == Decision(record, (), (), NOW + 8)
    assert see(record, now=NOW + 7.99).record == record
    assert see(record, now=NOW + 8).record.phase.kind == "starting"


def test_a_clock_that_jumped_ahead_ends_the_wait() -> None:
    record = make_record(Waiting(until=NOW + 300))
    assert see(record, now=NOW + 1e8).record.phase.kind == "starting"


def test_a_clock_that_was_set_back_stretches_no_wait_beyond_the_longest() -> None:
    longest = SPEC.restart.backoff.longest
    record = make_record(Waiting(until=NOW + 8))
    yesterday = NOW - 86_400.0
    first = see(record, now=yesterday)
    assert first.wake_at == yesterday + longest
    assert see(first.record, now=yesterday + longest - 1).wake_at == yesterday + longest
    assert see(first.record, now=yesterday + longest).record.phase.kind == "starting"


@pytest.mark.parametrize("wish", ["run", "stop"])
def test_a_killed_leader_that_sleeps_in_the_kernel_is_named_once_and_looked_for_again(wish: Wish) -> None:
    """Its keeper can tell of no end; so it is looked for from the deadline on."""
    stuck = "process 77 (python) is in uninterruptible sleep (nfs_wait)"
    record = make_record(Saving(attempt=1, why="stop", asked_at=NOW - 1), wish=wish)
    stopping = held().model_copy(update={"stop_reason": "stop"})
    assert see(record, stopping).wake_at == NOW - 1 + SPEC.stop.grace + RECHECK
    late = NOW + SPEC.stop.grace
    first = see(record, stopping.model_copy(update={"stuck": stuck}), now=late)
    assert stuck in first.record.reason
    assert [event.kind for event in first.events] == ["note"]
    assert (first.actions, first.wake_at, first.record.phase.kind) == ((), late + RECHECK, "saving")
    assert not see(first.record, stopping.model_copy(update={"stuck": stuck}), now=late).events


def test_what_not_even_sigkill_ends_is_named_once_and_looked_at_now_and_then() -> None:
    """Its leader has ended; nothing is started beside it, and nothing spins."""
    stuck = "process 77 (python) is in uninterruptible sleep (nfs_wait)"
    seen = held().model_copy(update={"has_ended": True, "stuck": stuck})
    first = see(make_record(), seen)
    assert stuck in first.record.reason
    assert [event.kind for event in first.events] == ["note"]
    assert (first.actions, first.wake_at) == ((), NOW + RECHECK)
    assert not see(first.record, seen).events
