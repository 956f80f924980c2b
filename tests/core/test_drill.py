"""A drill tells what it cost: phases are read off looks at the job, and one that was missed makes it no better."""

from __future__ import annotations

import pytest

from perdured.core.drill import (
    KINDS,
    LABELS,
    PLANS,
    Kind,
    Moment,
    Phases,
    count_lost,
    describe_phases,
    find_faults,
    follow,
    is_over,
    list_reached,
    say_cost,
)

BEFORE = Moment(0.0, "running", attempt=1, pid=10, step=50, checkpoint="/c/step-40", daemon=7)
ENDED = BEFORE._replace(at=1.0, state="waiting", struck_step=52, struck_cause="signal")
STARTING = ENDED._replace(at=2.0, state="starting", attempt=2, pid=None, step=50)
RUNNING = STARTING._replace(at=3.0, state="running", pid=11, resumed_from=50, checkpoint="/c/step-50")
STEPPED = RUNNING._replace(at=4.0, step=51)


def look(kind: Kind, *moments: Moment, before: Moment = BEFORE) -> Phases:
    phases = Phases()
    for moment in moments:
        phases = follow(kind, before, phases, moment)
    return phases


def test_each_phase_has_the_time_at_which_it_was_first_seen() -> None:
    phases = look("crash", BEFORE, ENDED, STARTING, RUNNING, STEPPED, STEPPED._replace(at=5.0, step=60))
    assert describe_phases("crash", phases) == {
        "noticed": 1.0, "newer checkpoint": 3.0, "restarted": 3.0, "first new step": 4.0,
    }  # fmt: skip


def test_phases_that_passed_between_two_looks_are_seen_at_the_second() -> None:
    """Of a step only the next one counts: the first that is shown may be the one before."""
    phases = look("crash", BEFORE, STEPPED)
    assert (phases.noticed, phases.restarted, phases.stepped) == (4.0, 4.0, None)
    assert look("crash", BEFORE, STEPPED, STEPPED._replace(at=4.5, step=52)).stepped == 4.5


def test_where_the_job_was_is_no_step_of_the_attempt_that_goes_back() -> None:
    """Until it tells one, the job is shown at its progress, which is beyond what it resumed from."""
    back = [each._replace(step=50, resumed_from=40) for each in (STARTING, RUNNING)]
    assert look("corrupt", ENDED, *back).stepped is None
    assert look("corrupt", ENDED, *back, RUNNING._replace(at=4.0, step=41, resumed_from=40)).stepped == 4.0


def test_steps_are_lost_from_the_last_one_told_back_to_where_the_next_attempt_began() -> None:
    assert count_lost("crash", STEPPED) == 2
    assert count_lost("crash", STEPPED._replace(resumed_from=None)) == 52
    assert count_lost("crash", STEPPED._replace(struck_step=None)) is None
    assert count_lost("daemon", STEPPED) == 0


def test_a_preemption_that_was_passed_lost_nothing() -> None:
    phases = look("preempt", BEFORE._replace(at=0.5, state="saving"), ENDED, STARTING, RUNNING, STEPPED)
    assert phases.noticed == 0.5
    assert find_faults("preempt", BEFORE, phases, STEPPED._replace(resumed_from=52)) == []
    assert find_faults("preempt", BEFORE, phases, STEPPED) == ["it did not save its last step: 2 are made again"]
    assert find_faults("crash", BEFORE, phases, STEPPED) == []


def test_a_job_that_begins_again_at_step_0_has_not_passed() -> None:
    phases = look("crash", ENDED, STARTING, RUNNING, STEPPED)
    last = STEPPED._replace(resumed_from=None)
    assert find_faults("crash", BEFORE, phases, last) == ["it began again at step 0"]
    assert find_faults("crash", BEFORE._replace(checkpoint=None), phases, last) == []


@pytest.mark.parametrize("state", ["failed", "stopped", "succeeded"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_at_rest_ends_the_drill_and_has_not_passed(kind: Kind, state: str) -> None:
    last = ENDED._replace(state=state)
    assert is_over(kind, Phases(), last)
    assert find_faults(kind, BEFORE, Phases(), last)


def test_a_job_that_makes_no_step_has_not_passed() -> None:
    assert find_faults("hang", BEFORE, look("hang", ENDED, STARTING), STARTING)


def test_the_job_has_to_outlive_the_daemon() -> None:
    dead = BEFORE._replace(at=1.0, daemon=None)
    back = BEFORE._replace(at=2.0, daemon=8)
    trains = back._replace(at=3.0, step=51)
    phases = look("daemon", dead, back, trains)
    assert describe_phases("daemon", phases) == {"gone": 1.0, "answers again": 2.0, "first step it tells of": 3.0}
    assert find_faults("daemon", BEFORE, phases, trains) == []
    assert find_faults("daemon", BEFORE, phases, trains._replace(attempt=2)) == ["the job did not outlive it"]


def test_a_full_disk_is_over_when_the_job_has_saved_again() -> None:
    full = BEFORE._replace(at=1.0, step=51, has_room=False)
    eased = full._replace(at=6.0, has_room=True)
    saved = eased._replace(at=7.0, checkpoint="/c/step-60")
    assert not is_over("disk-full", look("disk-full", full, eased), eased)
    phases = look("disk-full", full, full._replace(at=2.0, checkpoint="/c/step-51"), eased, saved)
    assert (phases.stepped, phases.noticed, phases.saved) == (1.0, 6.0, 7.0)
    assert is_over("disk-full", phases, saved)
    assert find_faults("disk-full", BEFORE, phases, saved) == []
    assert find_faults("disk-full", BEFORE, look("disk-full", full, eased), eased)


def test_what_was_reached_is_told_once() -> None:
    earlier = look("crash", ENDED)
    assert list_reached("crash", Phases(), earlier) == ["noticed"]
    assert list_reached("crash", earlier, look("crash", ENDED, STARTING, RUNNING)) == ["newer checkpoint", "restarted"]


def test_the_cost_in_words() -> None:
    phases = look("crash", ENDED, STARTING, RUNNING, STEPPED)
    assert say_cost("crash", phases, STEPPED) == "4 s until the first new step, 2 steps made again"
    assert say_cost("daemon", phases, STEPPED) == "0 steps made again"


def test_every_kind_has_its_words() -> None:
    assert set(PLANS) == set(LABELS) == set(KINDS)
