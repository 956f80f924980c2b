"""What is done to the job, when, and what it must not cost."""

from __future__ import annotations

import pytest

from perdured.demo.outcome import Ending, Outcome, Wreck, has_recovered, measure_outcome
from perdured.demo.script import SCRIPT, Disturbance, Kind, Moment, find_due

TOTAL = 100
CALM = Moment(state="running", attempt=1, pid=100, step=40, resumed_from=None, checkpoints=2)


def disturbance(kind: Kind) -> Disturbance:
    return next(each for each in SCRIPT if each.kind == kind)


def test_the_script_has_every_kind_once_in_order_and_ends_with_time_to_recover() -> None:
    assert {each.kind for each in SCRIPT} == {"kill", "corrupt", "daemon", "preempt"}
    times = [each.at for each in SCRIPT]
    assert times == sorted(set(times))
    assert times[0] > 0
    assert times[-1] < 0.9


def test_each_disturbance_is_due_once_its_step_is_reached_and_not_before() -> None:
    for number, each in enumerate(SCRIPT):
        due_at = next(step for step in range(TOTAL) if step >= each.at * TOTAL)
        assert find_due(SCRIPT, number, CALM._replace(step=due_at - 1), TOTAL) is None
        assert find_due(SCRIPT, number, CALM._replace(step=due_at), TOTAL) is each


def test_after_the_last_one_nothing_is_due() -> None:
    assert find_due(SCRIPT, len(SCRIPT), CALM._replace(step=TOTAL), TOTAL) is None


@pytest.mark.parametrize("moment", [CALM._replace(step=None), CALM._replace(pid=None), CALM._replace(state="waiting")])
def test_nothing_is_done_to_a_job_that_does_not_train(moment: Moment) -> None:
    assert find_due(SCRIPT, 0, moment, TOTAL) is None


def test_a_checkpoint_is_corrupted_only_where_an_older_one_is_left() -> None:
    number = SCRIPT.index(disturbance("corrupt"))
    late = CALM._replace(step=TOTAL)
    assert find_due(SCRIPT, number, late._replace(checkpoints=1), TOTAL) is None
    assert find_due(SCRIPT, number, late._replace(checkpoints=2), TOTAL) is not None


AGAIN = Moment(state="running", attempt=2, pid=200, step=31, resumed_from=30)


@pytest.mark.parametrize("kind", ["kill", "corrupt", "preempt"])
def test_training_goes_on_when_a_new_attempt_has_finished_a_step(kind: Kind) -> None:
    wreck = Wreck(disturbance(kind), CALM)
    assert not has_recovered(wreck, CALM._replace(step=41))
    assert not has_recovered(wreck, AGAIN._replace(step=None))
    assert has_recovered(wreck, AGAIN)


def test_the_daemon_is_back_when_it_tells_a_step_made_after_its_death() -> None:
    wreck = Wreck(disturbance("daemon"), CALM)
    assert not has_recovered(wreck, CALM._replace(step=50))
    assert not has_recovered(wreck, CALM._replace(step=50, told_step=40))
    assert has_recovered(wreck, CALM._replace(step=50, told_step=49))


@pytest.mark.parametrize("kind", ["kill", "corrupt", "daemon", "preempt"])
def test_nothing_is_waited_for_from_a_job_that_is_done(kind: Kind) -> None:
    """It was stopped at its last step, so that the next attempt had none to make; or it was faster."""
    assert has_recovered(Wreck(disturbance(kind), CALM), AGAIN._replace(state="succeeded", step=None))
    assert has_recovered(Wreck(disturbance(kind), CALM), CALM._replace(state="succeeded"))


@pytest.mark.parametrize("kind", ["kill", "corrupt", "daemon", "preempt"])
def test_a_disturbance_that_came_too_late_proves_nothing(kind: Kind) -> None:
    done = CALM._replace(state="succeeded", step=TOTAL)
    assert measure(kind, Ending(0, None, TOTAL), done).faults == ("the training was over before",)


def measure(kind: Kind, ending: Ending | None, now: Moment, corrupted: int | None = None) -> Outcome:
    return measure_outcome(Wreck(disturbance(kind), CALM, corrupted), ending, now, 2.5)


def test_lost_are_the_steps_since_the_checkpoint_it_resumed_from() -> None:
    outcome = measure("kill", Ending(None, 9, 41), AGAIN)
    assert (outcome.at_step, outcome.steps_lost, outcome.seconds, outcome.faults) == (41, 11, 2.5, ())


def test_to_begin_again_at_step_0_is_a_fault() -> None:
    assert measure("kill", Ending(None, 9, 41), AGAIN._replace(resumed_from=None)).faults


def test_a_corrupt_checkpoint_must_be_passed_over_for_an_older_one() -> None:
    ending = Ending(None, 9, 41)
    assert measure("corrupt", ending, AGAIN, corrupted=40).faults == ()
    assert measure("corrupt", ending, AGAIN, corrupted=30).faults
    assert measure("corrupt", ending, AGAIN._replace(resumed_from=None), corrupted=40).faults == (
        "it began again at step 0",
    )


def test_a_preempted_job_must_save_its_last_step_and_exit_with_75() -> None:
    saved = AGAIN._replace(resumed_from=42)
    assert measure("preempt", Ending(75, None, 41), saved) == Outcome(
        disturbance("preempt").title, at_step=41, steps_lost=0, seconds=2.5
    )
    assert measure("preempt", Ending(75, None, 41), AGAIN).faults
    assert measure("preempt", Ending(1, None, 41), saved).faults
    assert measure("preempt", Ending(None, 15, 41), saved).faults


def test_with_the_daemon_dead_the_same_process_must_train_on() -> None:
    outcome = measure("daemon", None, CALM._replace(step=50, told_step=50))
    assert (outcome.at_step, outcome.steps_lost, outcome.seconds, outcome.faults) == (40, 0, None, ())
    assert measure("daemon", None, CALM._replace(pid=101)).faults
    assert measure("daemon", Ending(None, 9, 41), AGAIN).faults


def test_an_attempt_that_did_not_end_was_not_disturbed() -> None:
    assert measure("kill", None, CALM).faults
