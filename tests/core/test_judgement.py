"""What follows each class of failure, through `decide`, as a job lives through it."""

from __future__ import annotations

from itertools import product

import pytest

from perdured.core.actions import Launch, Probe
from perdured.core.budgets import BUDGETS, limit_of
from perdured.core.decide import Decision, decide
from perdured.core.ends.cause import STORAGE, Cause
from perdured.core.ends.end import End
from perdured.core.observation import AttemptSeen, CheckpointSeen, Ended, GroundSeen, Observation
from perdured.core.policy import LONGEST_PROBE, probe_delay
from perdured.core.record import AttemptRecord, JobRecord, Running, Waiting, Wish
from perdured.core.steps import RECHECK
from support.jobs import (
    EVIDENCE,
    FAILURE,
    NOW,
    PHASES,
    failed,
    held,
    killed,
    make_attempt,
    make_record,
    make_spec,
    refused,
)

SPEC = make_spec()
FAILURES = sorted(EVIDENCE)
HOPELESS = [Cause.SYNTAX_ERROR, Cause.IMPORT_ERROR]
REPEATED = [Cause.EXCEPTION, Cause.CUDA_ERROR, Cause.GPU_MEMORY]
"""Classes of which the same one again is given up sooner than their budget says."""


class Life:
    """A job that fails, attempt after attempt."""

    def __init__(self, record: JobRecord | None = None, failures: int = 5) -> None:
        self.record = record or make_record()
        self.spec = make_spec(f"restart.failures = {failures}")
        self.last: Decision | None = None

    @property
    def phase(self) -> str:
        return self.record.phase.kind

    def end(
        self, seen: Ended, *, step: int | None = None, resumed: tuple[int, str] | None = None, saved: int | None = None
    ) -> str:
        """The attempt under way ends so; returns the phase that follows. `resumed` is where it had gone on from."""
        number = len(self.record.attempts)
        at, path = resumed or (None, None)
        attempt = make_attempt(number, resumed_from_step=at, resumed_from=path)
        record = self.record.with_attempt(attempt).but(phase=Running(attempt=number))
        seen = seen.model_copy(update={"exit": seen.exit.model_copy(update={"step": step}), "pid": attempt.pid})
        newest = None if saved is None else CheckpointSeen(step=saved, path=f"/c/{saved}", committed_at=NOW - 5)
        self.last = decide(self.spec, record, Observation(attempt=seen, checkpoint=newest), NOW)
        self.record = self.last.record
        if self.phase == "waiting":
            self.record = self.record.with_attempt(make_attempt(number + 1))
        return self.phase

    def count_until_given_up(self, *seen: Ended) -> int:
        for count in range(1, 30):
            if self.end(seen[(count - 1) % len(seen)]) == "failed":
                return count
        raise AssertionError("it goes on for ever")


def other(n: int, kind: str = "ValueError") -> Ended:
    """An exception that is another one each time."""
    line = f"{kind}: {'abcdefghij'[n % 10] * (n + 1)}"
    evidence = failed(Cause.EXCEPTION).evidence.model_copy(update={"output": (*_FRAME, line)})
    return failed(Cause.EXCEPTION).model_copy(update={"evidence": evidence})


_FRAME = ("Traceback (most recent call last):", '  File "train.py", line 5, in main')


# Every class in every phase -------------------------------------------------------------------------------------------

FOLLOWS = {
    **dict.fromkeys(FAILURES, "waiting"),
    Cause.SYNTAX_ERROR: "failed",
    Cause.IMPORT_ERROR: "failed",
}
"""What follows the first end of a job that had not come to a step."""


@pytest.mark.parametrize(("cause", "phase"), [*product(FAILURES, ["starting", "running", "saving"])])
def test_what_follows_the_first_failure_of_each_class(cause: Cause, phase: str) -> None:
    decision = decide(SPEC, make_record(PHASES[phase]), Observation(attempt=failed(cause)), NOW)
    record = decision.record
    assert record.phase.kind == FOLLOWS[cause]
    assert record.attempts[0].cause == cause
    assert record.attempts[0].decision == record.reason == decision.events[0].text
    assert isinstance(record.phase, Waiting) is (decision.wake_at is not None)


@pytest.mark.parametrize(("cause", "phase"), [*product(FAILURES, ["starting", "running", "saving"])])
@pytest.mark.parametrize(("wish", "rest"), [("stop", "stopped"), ("park", "parked"), ("remove", "stopped")])
def test_a_job_that_was_to_end_ends_whatever_class_its_end_had(cause: Cause, phase: str, wish: Wish, rest: str) -> None:
    record = decide(SPEC, make_record(PHASES[phase], wish=wish), Observation(attempt=failed(cause)), NOW).record
    assert (record.phase.kind, record.failures, record.spent) == (rest, 0, {})
    assert record.attempts[0].cause == cause


@pytest.mark.parametrize(("cause", "phase"), [*product(FAILURES, ["queued", "waiting", "parked", "stopped", "failed"])])
def test_where_no_attempt_is_under_way_no_end_is_seen(cause: Cause, phase: str) -> None:
    record = make_record(PHASES[phase])
    blind = decide(SPEC, record, Observation(), NOW)
    assert decide(SPEC, record, Observation(attempt=failed(cause)), NOW) == blind


def test_every_class_has_its_place_in_the_budgets() -> None:
    assert set(BUDGETS) == set(Cause)
    assert {cause for cause, budget in BUDGETS.items() if budget is not None} >= set(FAILURES) - STORAGE


# Budgets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cause", sorted(set(FAILURES) - STORAGE - {Cause.SYNTAX_ERROR, Cause.IMPORT_ERROR} - {*REPEATED})
)
@pytest.mark.parametrize("failures", [1, 2, 5, 9])
def test_each_class_is_given_up_at_its_own_limit(cause: Cause, failures: int) -> None:
    life = Life(failures=failures)
    assert life.count_until_given_up(failed(cause)) == limit_of(cause, failures)
    assert "gave up after" in life.record.reason


def test_a_loss_that_is_not_finite_goes_back_to_the_last_healthy_checkpoint_twice() -> None:
    life = Life(make_record(progress=100))
    ends = [life.end(failed(Cause.NON_FINITE), step=150, saved=100, resumed=(100, "/c/100")) for _ in range(3)]
    assert ends == ["waiting", "waiting", "failed"]
    assert " from the last healthy checkpoint: " in (life.record.attempts[0].decision or "")


def test_budgets_are_separate() -> None:
    """Four failures of the spec's five and one of memory's two leave room for one more of each."""
    life = Life(make_record(failures=4, spent={"host_memory": 1}))
    assert life.end(failed(Cause.LOST_COLLECTIVE)) == "waiting"
    assert life.end(failed(Cause.HANG)) == "waiting"
    assert life.record.failures == 4
    assert life.record.spent == {"host_memory": 1, "lost_collective": 1, "hang": 1}
    assert life.end(failed(Cause.HOST_MEMORY)) == "failed"


@pytest.mark.parametrize("cause", sorted(set(FAILURES) - STORAGE))
def test_progress_makes_every_budget_new(cause: Cause) -> None:
    spent = {budget.name: 1 for budget in BUDGETS.values() if budget is not None}
    life = Life(make_record(failures=4, spent=spent, hops=2, progress=100))
    assert life.end(failed(cause), step=150, saved=140) == "waiting"
    assert (life.record.failures, life.record.spent, life.record.hops) == (0, {}, 0)
    assert life.last is not None
    assert life.last.wake_at == NOW, "and the restart is immediate"


def test_each_budget_backs_off_by_itself() -> None:
    life = Life(make_record(failures=4))
    life.end(failed(Cause.HANG))
    assert "(1 of 5)" in life.record.reason


def test_a_restart_by_hand_makes_all_of_it_new() -> None:
    record = make_record(PHASES["failed"], wish="restart", failures=3, spent={"hang": 2}, suspects=("/c/5",), hops=1)
    record = decide(SPEC, record, Observation(), NOW).record
    assert (record.failures, record.spent, record.suspects, record.hops) == (0, {}, (), 0)
    assert record.judged_after == 1


def test_a_parked_job_goes_on_with_what_it_had() -> None:
    record = make_record(PHASES["parked"], wish="restart", failures=3, spent={"hang": 2}, suspects=("/c/5",), hops=1)
    record = decide(SPEC, record, Observation(), NOW).record
    assert (record.failures, record.spent, record.suspects, record.hops) == (3, {"hang": 2}, ("/c/5",), 1)


# The same failure again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", REPEATED)
def test_the_same_failure_twice_before_any_progress_is_given_up(cause: Cause) -> None:
    life = Life()
    assert life.count_until_given_up(failed(cause)) == 2
    assert life.record.reason.endswith("; the same failure twice before any progress")


@pytest.mark.parametrize("cause", HOPELESS)
def test_what_cannot_be_imported_is_given_up_at_once(cause: Cause) -> None:
    life = Life()
    assert life.end(failed(cause)) == "failed"
    assert life.record.reason.endswith("; trying again cannot help")


@pytest.mark.parametrize("cause", HOPELESS)
def test_a_job_that_has_trained_gets_a_second_chance_to_import(cause: Cause) -> None:
    """A file system that was not mounted yet after a reboot must not end a run of weeks."""
    life = Life()
    life.end(killed(9), step=100, saved=90)
    assert life.end(failed(cause), resumed=(90, "/c/90"), saved=90) == "waiting"
    assert life.end(failed(cause), resumed=(90, "/c/90"), saved=90) == "failed"
    assert life.record.suspects == (), "a checkpoint is no reason for it"


def test_another_failure_each_time_uses_up_the_budget() -> None:
    life = Life()
    assert [life.end(other(n)) for n in range(5)] == ["waiting"] * 4 + ["failed"]


def test_the_same_failure_at_the_same_step_twice_is_given_up_though_there_was_progress() -> None:
    """Step 1205 fails; the checkpoint of 1200 had just been made, and the next one comes no further."""
    life = Life()
    assert life.end(failed(Cause.EXCEPTION), step=1205, saved=1200) == "waiting"
    assert life.end(failed(Cause.EXCEPTION), step=1205, saved=1200, resumed=(1200, "/c/1200")) == "failed"
    assert life.record.reason == "ValueError: bad label; the same failure twice at step 1205"


def test_the_same_failure_at_the_step_that_was_saved_is_given_up_and_no_checkpoint_is_blamed() -> None:
    """What died at 1205 was kept by the memory tier at 1205, and dies there again: no checkpoint was on the way."""
    life = Life()
    life.end(failed(Cause.EXCEPTION), step=1205, saved=1205)
    assert life.end(failed(Cause.EXCEPTION), resumed=(1205, "/c/1205"), saved=1205) == "failed"
    assert life.record.suspects == ()


def test_the_same_failure_at_another_step_goes_on() -> None:
    life = Life(make_record(progress=1200))
    life.end(failed(Cause.EXCEPTION), step=1205, saved=1204)
    assert life.end(failed(Cause.EXCEPTION), step=1300, saved=1299, resumed=(1204, "/c/1204")) == "waiting"


def test_what_lies_outside_the_program_proves_nothing_by_coming_twice() -> None:
    life = Life()
    assert [life.end(other(0, "ConnectionResetError")) for _ in range(5)] == ["waiting"] * 4 + ["failed"]
    assert "gave up after 5 failures" in life.record.reason


def test_a_preemption_between_two_failures_hides_nothing() -> None:
    life = Life()
    life.end(failed(Cause.EXCEPTION))
    life.end(killed(15, stop_reason="preempted"))
    assert life.end(failed(Cause.EXCEPTION)) == "failed"


def test_what_failed_before_a_restart_by_hand_is_not_held_against_the_next_attempt() -> None:
    """Somebody may have mended it."""
    life = Life()
    assert life.count_until_given_up(failed(Cause.EXCEPTION)) == 2
    record = decide(SPEC, life.record.but(wish="restart"), Observation(), NOW).record
    life.record = decide(SPEC, record, Observation(), NOW).record
    assert life.end(failed(Cause.EXCEPTION)) == "waiting"


# Suspect checkpoints --------------------------------------------------------------------------------------------------


def test_a_checkpoint_with_which_two_attempts_died_is_stepped_over() -> None:
    life = Life(make_record(progress=300))
    assert life.end(other(0), resumed=(300, "/c/300"), saved=300) == "waiting"
    assert not life.record.suspects
    assert life.end(other(1), resumed=(300, "/c/300"), saved=300) == "waiting"
    assert life.record.suspects == ("/c/300",)
    assert (life.record.hops, life.record.failures) == (1, 0)
    assert "from the checkpoint before 300, with which two attempts died without a step" in life.record.reason
    due = decide(SPEC, life.record, Observation(), NOW + 300)
    assert [a.step_over for a in due.actions if isinstance(a, Launch)] == [("/c/300",)]


def test_at_most_three_are_stepped_over() -> None:
    life, phases = Life(make_record(progress=400)), []
    for step in (400, 300, 200, 100):
        phases += [life.end(failed(Cause.EXCEPTION), resumed=(step, f"/c/{step}"), saved=step) for _ in range(2)]
    assert phases == ["waiting"] * 7 + ["failed"]
    assert life.record.suspects == ("/c/400", "/c/300", "/c/200")
    assert life.record.reason.endswith("; not one step was made from any of 4 checkpoints")


def test_progress_from_an_older_checkpoint_is_progress() -> None:
    """Though the one that was stepped over had a higher step; and it stays stepped over."""
    life = Life(make_record(progress=300))
    for _ in range(2):
        life.end(failed(Cause.EXCEPTION), resumed=(300, "/c/300"), saved=300)
    record = life.record.but(phase=Running(attempt=len(life.record.attempts)))
    newest = CheckpointSeen(step=200, path="/c/200", committed_at=NOW)
    life.record = decide(SPEC, record, Observation(attempt=held(3), checkpoint=newest), NOW).record
    assert life.record.progress == 200
    assert life.end(killed(9), resumed=(200, "/c/200"), step=260, saved=250) == "waiting"
    assert (life.record.progress, life.record.hops, life.record.suspects) == (250, 0, ("/c/300",))
    assert life.record.attempts[2].kept_until is not None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"step": 301}, {}),
        ({}, {"step": 301}),
        ({"resumed": (200, "/c/200")}, {}),
        ({"resumed": None}, {"resumed": None}),
    ],
)
def test_a_checkpoint_is_not_blamed_where_a_step_was_made_or_another_was_the_start(
    first: dict[str, object], second: dict[str, object]
) -> None:
    life = Life(make_record(progress=300))
    usual: dict[str, object] = {"resumed": (300, "/c/300"), "saved": 300}
    life.end(other(0), **usual | first)  # type: ignore[arg-type]
    life.end(other(1), **usual | second)  # type: ignore[arg-type]
    assert life.record.suspects == ()


@pytest.mark.parametrize("seen", [killed(9), killed(15), failed(Cause.HOST_MEMORY), failed(Cause.LOST_COLLECTIVE)])
def test_what_came_from_outside_is_no_checkpoints_fault(seen: Ended) -> None:
    life = Life(make_record(progress=300))
    for _ in range(2):
        life.end(seen, resumed=(300, "/c/300"), saved=300)
    assert life.record.suspects == ()


def test_a_program_that_reports_no_steps_and_ran_long_is_not_believed_to_have_died_of_its_checkpoint() -> None:
    life = Life(make_record(progress=300))
    late = [other(n) for n in range(2)]
    for seen in late:
        exit = seen.exit.model_copy(update={"at": NOW + 1000})
        life.end(seen.model_copy(update={"exit": exit}), resumed=(300, "/c/300"), saved=300)
    assert life.record.suspects == ()


# Storage --------------------------------------------------------------------------------------------------------------

HELD = make_record(Waiting(until=NOW, probes=True), progress=100)


@pytest.mark.parametrize("cause", sorted(STORAGE))
def test_storage_trouble_holds_the_job_and_costs_nothing(cause: Cause) -> None:
    life = Life(make_record(failures=4))
    for _ in range(20):
        assert life.end(failed(cause)) == "waiting"
        assert isinstance(life.record.phase, Waiting)
        assert life.record.phase.probes
        assert life.record.phase.until - NOW >= 30.0
    assert life.record.failures == 4
    assert isinstance(life.record.phase, Waiting)
    assert life.record.phase.until - NOW == LONGEST_PROBE, (
        "what is found well and fails all the same is asked ever less"
    )
    assert "held until there is storage again: " in life.record.reason
    assert "perdure resume" in life.record.reason


@pytest.mark.parametrize("cause", sorted(STORAGE | {Cause.REMOTE}))
def test_ground_without_storage_holds_the_job_as_well(cause: Cause) -> None:
    fault = refused("the disk is full").model_copy(update={"cause": cause})
    record = decide(SPEC, make_record(PHASES["starting"]), Observation(attempt=fault), NOW).record
    what_for = "the remote to answer" if cause is Cause.REMOTE else "the disk to take a file again"
    assert record.phase == Waiting(until=NOW + probe_delay(cause), what_for=what_for, probes=True)
    assert record.failures == 0


def test_a_directory_that_another_attempt_holds_is_waited_for_and_costs_nothing() -> None:
    fault = refused("job b (attempt 1) writes there").model_copy(update={"cause": Cause.IN_USE})
    record = decide(SPEC, make_record(PHASES["starting"], failures=4), Observation(attempt=fault), NOW).record
    assert isinstance(record.phase, Waiting)
    assert (record.phase.probes, record.phase.what_for) == (True, "the checkpoint directory to be free")
    assert record.failures == 4
    assert "job b (attempt 1) writes there" in record.reason
    found_free = Observation(ground=GroundSeen(at=record.phase.until))
    assert isinstance(decide(SPEC, record, found_free, record.phase.until).actions[0], Launch)


def test_a_fresh_start_is_still_to_be_made_when_the_first_attempt_was_refused() -> None:
    never_ran = make_record(Waiting(until=NOW), attempts=0).with_attempt(AttemptRecord(number=1))
    (launch,) = decide(SPEC, never_ran, Observation(), NOW).actions
    assert launch == Launch(attempt=2, is_first=True)
    has_run = never_ran.with_attempt(AttemptRecord(number=1, pid=7))
    (launch,) = decide(SPEC, has_run, Observation(), NOW).actions
    assert launch == Launch(attempt=2, is_first=False)


def test_a_held_job_is_probed_when_its_time_has_come_and_not_started() -> None:
    decision = decide(SPEC, HELD, Observation(), NOW)
    assert decision == Decision(HELD, (Probe(),), (), NOW + RECHECK)
    early = decide(SPEC, HELD, Observation(), NOW - 1)
    assert (early.actions, early.wake_at) == ((), NOW)


@pytest.mark.parametrize("at", [NOW - 1, NOW + 1e6])
def test_a_probe_of_another_time_says_nothing_of_now(at: float) -> None:
    assert decide(SPEC, HELD, Observation(ground=GroundSeen(at=at)), NOW).actions == (Probe(),)


def test_a_probe_that_finds_it_well_starts_the_job() -> None:
    decision = decide(SPEC, HELD, Observation(ground=GroundSeen(at=NOW)), NOW + 1)
    assert [action.kind for action in decision.actions] == ["launch"]


def test_a_probe_that_does_not_holds_it_on_and_tells_nobody_again() -> None:
    fault = refused("only 3 KiB are free")
    decision = decide(SPEC, HELD, Observation(ground=GroundSeen(at=NOW, fault=fault)), NOW + 1)
    assert decision.record.phase == Waiting(until=NOW + 31, what_for="the disk to take a file again", probes=True)
    assert "only 3 KiB are free" in decision.record.reason
    assert (decision.actions, decision.events, decision.wake_at) == ((), (), NOW + 31)


@pytest.mark.parametrize("phase", [Waiting(until=NOW + 250), Waiting(until=NOW + 250, probes=True)])
def test_resume_cuts_every_wait_short(phase: Waiting) -> None:
    decision = decide(SPEC, make_record(phase, wish="restart"), Observation(), NOW)
    assert [action.kind for action in decision.actions] == ["launch"]
    assert decision.record.phase.kind == "starting"


# What is kept ---------------------------------------------------------------------------------------------------------


def test_of_attempts_long_past_only_the_verdict_is_kept() -> None:
    life = Life(failures=100)
    for n in range(40):
        life.end(other(n))
    kept = [attempt.end for attempt in life.record.attempts if attempt.end is not None]
    assert all(end.fingerprint and end.error for end in kept)
    assert [bool(end.traceback) for end in kept][-3:] == [True] * 3
    assert not any(end.traceback for end in kept[:-4])


def test_records_of_older_versions_have_words_and_get_a_class() -> None:
    old = '{"number": 1, "exit_code": 1, "cause": "exit code 1", "ended_at": 5.0}'
    attempt = AttemptRecord.model_validate_json(old)
    assert attempt.end == FAILURE
    assert AttemptRecord.model_validate_json(attempt.model_dump_json()) == attempt
    assert (
        AttemptRecord.model_validate_json('{"number": 1, "cause": "the machine was restarted"}').cause == Cause.REBOOTED
    )
    assert AttemptRecord.model_validate_json('{"number": 1, "signal": 9, "cause": "killed by signal 9"}').end == End(
        cause=Cause.SIGNAL, why="killed by signal 9"
    )


def test_every_seen_end_can_be_judged_twice() -> None:
    """The decision is made again from the same sight by a daemon that was killed in between."""
    for cause in FAILURES:
        seen: AttemptSeen = failed(cause)
        first = decide(SPEC, make_record(), Observation(attempt=seen), NOW)
        assert first == decide(SPEC, make_record(), Observation(attempt=seen), NOW)
