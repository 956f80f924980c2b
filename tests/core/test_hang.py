"""What is a hang, and what is none: the limits that a run teaches, and the time that has to be watched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.core.actions import Dump, Stop
from perdured.core.actions import Look as LookAction
from perdured.core.decide import decide
from perdured.core.ends.cause import Cause
from perdured.core.hang import Watched, find_delay, find_tick, is_hung, learn_limit, limit_of_steps
from perdured.core.observation import Held, Observation, Vitals
from perdured.core.pulse import Look, Pulse, Unhealthy, Watch, watch_on
from perdured.core.record import Saving, Skip, Waiting
from perdured.core.spec import Health
from perdured.core.stack_text import find_shape
from perdured.keeper.pulse import describe_pulse, hear_pulse
from support.jobs import NOW, ended, held, killed, make_record, make_spec, observed

TRACES = json.loads((Path(__file__).parent / "fixtures" / "step_traces.json").read_text())


def pulse(phase: str = "training", median: float | None = 0.1, slowest: float | None = None) -> Pulse:
    return Pulse(phase=phase, heard_at=0.0, told_at=0.0, median=median, slowest=slowest)


# Limits ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "limit"),
    [
        (pulse("starting", None), 1800.0),
        (pulse("warming_up", None), 900.0),
        (pulse("warming_up", None, slowest=900.0), 2700.0),
        (pulse(median=0.01), 9.0),
        (pulse(median=1.0), 9.0),
        (pulse(median=60.0), 540.0),
        (pulse(median=0.1, slowest=8.0), 24.0),
        (pulse("evaluation"), 1800.0),
        (pulse("evaluation", slowest=1.0), 60.0),
        (pulse("evaluation", slowest=300.0), 3000.0),
        (pulse("saving", slowest=20.0), 200.0),
    ],
)
def test_what_is_too_long_is_learned_by_phase(seen: Pulse, limit: float) -> None:
    assert learn_limit(seen) == limit


@given(st.floats(1e-4, 1e4))
def test_a_hang_of_a_steady_run_is_noticed_within_the_promise(median: float) -> None:
    """10 times the median step, at least 10 seconds, all looks included."""
    limit = learn_limit(pulse(median=median, slowest=median))
    noticed = notice(limit, looks=attentive(limit))
    assert noticed is not None
    assert limit <= noticed <= max(10 * median, 10.0)


def test_a_spec_may_say_how_long_or_never() -> None:
    assert limit_of_steps(Health(hang_after=90.0), pulse("saving")) == 90.0
    assert limit_of_steps(Health(hang_after="never"), pulse()) is None
    assert limit_of_steps(Health(), pulse(median=2.0)) == 18.0


# Looks ----------------------------------------------------------------------------------------------------------------


class Glance(NamedTuple):
    at: float
    is_paused: bool = False
    suspended: float = 0.0
    shape: str | None = None


def attentive(limit: float, until: float = 4.0) -> Iterator[Glance]:
    """An observer that is never late, up to so many limits after the last step, at 0."""
    watch = Watch(mark=0.0, since=0.0, looked_at=0.0, suspended=0.0)
    while watch.looked_at < until * limit:
        at = watch.looked_at + find_delay(Watched("steps", watch, limit), watch.looked_at)
        watch = watch_on(watch, Look(at=at, mark=0.0, since=0.0), find_tick(limit))
        yield Glance(at)


def notice(limit: float, looks: Iterable[Glance]) -> float | None:
    """When it is taken for a hang, of a run whose last step was at 0; None: never."""
    watch: Watch | None = None
    for glance in (Glance(0.0), *looks):
        watch = watch_on(watch, Look(mark=0.0, since=0.0, **glance._asdict()), find_tick(limit))
        if is_hung(Watched("steps", watch, limit)):
            return glance.at
    return None


def test_a_silence_that_nobody_watched_proves_nothing() -> None:
    """The daemon, its keeper or the machine stood still: for ten limits, and between any two looks."""
    limit = 9.0
    assert notice(limit, [Glance(90.0)]) is None
    assert notice(limit, [Glance(at) for at in (4.5, 90.0, 90.3, 90.6)]) is None
    late = [Glance(1000.0 * n) for n in range(1, 9)]
    assert notice(limit, late) is None


@given(st.lists(st.floats(0.01, 1e5), max_size=8))
def test_whatever_gaps_there_are_fewer_than_nine_looks_are_not_enough(gaps: list[float]) -> None:
    looks, at = [], 0.0
    for gap in gaps:
        at += max(gap, 2.1 * find_tick(9.0))
        looks.append(Glance(at))
    assert notice(9.0, looks) is None


def test_a_paused_process_does_not_hang_and_begins_anew_when_it_goes_on() -> None:
    limit = 9.0
    paused = [Glance(4.5 + 0.45 * n, is_paused=True) for n in range(200)]
    assert notice(limit, paused) is None
    after = [Glance(paused[-1].at + glance.at) for glance in attentive(limit)]
    noticed = notice(limit, [*paused, *after])
    assert noticed is not None
    assert noticed >= paused[-1].at + limit


def test_a_machine_that_slept_begins_anew() -> None:
    limit, looks = 9.0, list(attentive(9.0))
    slept = [glance._replace(suspended=3600.0) if glance.at > 8.0 else glance for glance in looks]
    awake_at = next(glance.at for glance in slept if glance.suspended)
    noticed = notice(limit, slept)
    assert noticed is not None
    assert noticed >= awake_at + limit


def test_a_main_thread_that_moves_is_given_six_times_as_long() -> None:
    limit = 9.0
    looks = list(attentive(limit, until=8.0))
    moving = [glance._replace(shape="ab"[number % 2]) for number, glance in enumerate(looks)]
    still = [glance._replace(shape="a") for glance in looks]
    assert notice(limit, still) == notice(limit, looks)
    noticed = notice(limit, moving)
    assert noticed is not None
    assert 6 * limit <= noticed <= 6.2 * limit


def test_where_it_spins_is_one_place_and_where_it_evaluates_are_several() -> None:
    other = 'Thread 0x2 (most recent call first):\n  File "tqdm.py", line {} in run\n'
    main = (
        'Current thread 0x1 (most recent call first):\n  File "a.py", line {} in {}\n  File "a.py", line {} in main\n'
    )
    spinning = [find_shape(other.format(n) + main.format(n, "spin", 9)) for n in (1, 2)]
    assert spinning == ["a.py:spin < a.py:9:main"] * 2
    assert find_shape(main.format(1, "forward", 9)) != find_shape(main.format(1, "score", 10))
    assert find_shape("nothing of the kind") is None


# Real runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "gpt"])
def test_no_real_run_is_taken_for_one_that_hangs(name: str) -> None:
    """Messages of the examples, on a busy machine; each silence against the limit that the run had taught by then."""
    told, now = None, 0.0
    for kind, step, at in TRACES[name]:
        now = max(now, at if at is not None else now)
        if told is not None:
            seen = Pulse.model_validate(describe_pulse(told, now))
            assert now - seen.heard_at < learn_limit(seen), (step, kind)
        message = {"type": kind, "step": step, "name": "evaluation", "at": now}
        told = hear_pulse(told, message, 1, now)
    assert told is not None
    assert told.durations


@given(st.lists(st.floats(0.5, 2.0), min_size=40, max_size=120), st.lists(st.floats(1.0, 8.9), max_size=4))
def test_no_slow_step_below_the_promise_is_a_hang(steady: list[float], slow: list[float]) -> None:
    """Steps of about 0.1 s, and now and then one of many seconds."""
    told, now = hear_pulse(None, {"type": "phase", "name": "evaluation", "at": 0.0}, 1, 0.0), 0.0
    for step, duration in enumerate([*(0.1 * each for each in steady), *slow], start=1):
        assert told is not None
        seen = Pulse.model_validate(describe_pulse(told, now))
        assert duration < learn_limit(seen)
        now += duration
        told = hear_pulse(told, {"type": "progress", "step": step, "at": now}, 1, now)


# Deciding -------------------------------------------------------------------------------------------------------------


def silent(seconds: float, watched: float = 99.0, **changes: object) -> Observation:
    watch = Watch(mark=1.0, since=100.0, looked_at=100.0 + seconds, suspended=0.0, watched=watched)
    vitals = Vitals(pulse=pulse(), watches={"steps": watch}, at=100.0 + seconds)
    return observed(held()).model_copy(update={"vitals": vitals, **changes})


def test_a_hang_is_ended_with_its_stacks_first_and_a_save_that_is_offered() -> None:
    decision = decide(make_spec(), make_record(), silent(9.5), NOW)
    why = "no step for 9.5 s (limit 9 s)"
    assert decision.actions == (Dump(attempt=1, why=why), Stop(attempt=1, reason="hang", grace=10.0))
    assert decision.record.phase == Saving(attempt=1, why="hang", asked_at=NOW, found=why)
    assert decision.record.reason == f"{why}: asked to save and end (hang), at most 10 s"
    assert [event.kind for event in decision.events] == ["hung"]


def test_the_stop_is_repeated_until_the_keeper_has_taken_it_and_the_stacks_are_not() -> None:
    """Nobody's wish repeats it: the daemon may have died in between."""
    record = decide(make_spec(), make_record(), silent(9.5), NOW).record
    again = decide(make_spec(), record, silent(11.0), NOW + 5)
    assert again.record == record
    assert [action.kind for action in again.actions] == ["stop"]
    taken = decide(make_spec(), record, observed(held(stop_reason="hang")), NOW + 6)
    assert not taken.actions


def test_it_is_looked_at_when_half_of_the_time_is_over_and_closely_from_then_on() -> None:
    early = decide(make_spec(), make_record(), silent(0.0), NOW)
    assert not early.actions
    assert early.wake_at == pytest.approx(NOW + 4.5)
    late = silent(4.6)
    overdue = late.model_copy(update={"vitals": late.vitals.model_copy(update={"at": 105.2})})
    close = decide(make_spec(), make_record(), overdue, NOW)
    assert close.actions == (LookAction(attempt=1, with_stacks=True),)
    assert close.wake_at == pytest.approx(NOW + find_tick(9.0))


def test_who_was_told_to_stop_is_not_hung_but_on_its_way() -> None:
    """The keeper has the deadline."""
    decision = decide(make_spec(), make_record(), silent(99.0, attempt=held(stop_reason="preempted")), NOW)
    assert not decision.actions
    wished = decide(make_spec(), make_record(wish="stop"), silent(99.0), NOW)
    assert [action.reason for action in wished.actions if isinstance(action, Stop)] == ["stop"]


@pytest.mark.parametrize("section", ['hang_after = "never"', 'hang_after = "1h"'])
def test_the_spec_has_the_last_word(section: str) -> None:
    decision = decide(make_spec(f"[health]\n{section}"), make_record(), silent(99.0), NOW)
    assert decision.record.phase.kind == "running"


def test_a_hang_has_its_own_class_and_says_what_was_found() -> None:
    record = decide(make_spec(), make_record(), silent(9.5), NOW).record
    seen = observed(killed(9, stop_reason="hang", is_late=True))
    after = decide(make_spec(), record, seen, NOW + 11).record
    end = after.attempts[-1].end
    assert end is not None
    assert (end.cause, end.why, end.sender) == (Cause.HANG, "no step for 9.5 s (limit 9 s)", "perdure")
    assert after.spent == {"hang": 1}
    assert isinstance(after.phase, Waiting)


# A loss that is not finite --------------------------------------------------------------------------------------------


def unhealthy(since: int, step: int) -> Observation:
    return observed(held()).model_copy(update={"vitals": Vitals(unhealthy=Unhealthy(since=since, step=step))})


def test_one_loss_that_is_not_finite_is_let_pass_and_three_in_a_row_are_not() -> None:
    assert decide(make_spec(), make_record(), unhealthy(12, 13), NOW).record.phase.kind == "running"
    decision = decide(make_spec(), make_record(), unhealthy(12, 14), NOW)
    assert decision.actions == (Stop(attempt=1, reason="non_finite", grace=120.0),)
    ignoring = make_spec('[health]\nnon_finite = "ignore"')
    assert decide(ignoring, make_record(), unhealthy(12, 99), NOW).record.phase.kind == "running"


@pytest.mark.parametrize("is_asked", [False, True])
def test_the_batches_with_which_the_loss_was_lost_are_passed_over_when_the_spec_says_so(is_asked: bool) -> None:
    spec = make_spec("[health]\nskip_batches = true" if is_asked else "")
    stopping = decide(spec, make_record(), unhealthy(12, 14), NOW).record
    seen = ended(75, stop_reason="non_finite")
    seen = seen.model_copy(update={"exit": seen.exit.model_copy(update={"step": 15})})
    after = decide(spec, stopping, observed(seen, saved=10), NOW + 1).record
    assert after.attempts[-1].cause == Cause.NON_FINITE
    assert after.attempts[-1].why == "the loss is not finite since step 12"
    assert after.spent == {}, "it had made progress"
    assert after.skip == (Skip(checkpoint="/ckpt/10", batches=5) if is_asked else None)
    launched = decide(spec, after, observed(saved=10), NOW + 99)
    assert [action.skip for action in launched.actions if action.kind == "launch"] == [after.skip]


def test_batches_that_were_passed_over_before_are_passed_over_again_from_the_same_checkpoint() -> None:
    spec = make_spec("[health]\nskip_batches = true")
    phase = Saving(attempt=2, why="non_finite", asked_at=NOW, found="the loss is not finite since step 12")
    record = make_record(phase, progress=10, skip=Skip(checkpoint="/ckpt/10", batches=5))
    seen = ended(75, stop_reason="non_finite", number=2)
    seen = seen.model_copy(update={"exit": seen.exit.model_copy(update={"step": 13})})
    assert decide(spec, record, observed(seen, saved=10), NOW).record.skip == Skip(checkpoint="/ckpt/10", batches=8)
    assert decide(spec, record, observed(seen, saved=12), NOW).record.skip == Skip(checkpoint="/ckpt/12", batches=1)


def test_an_attempt_that_nobody_speaks_for_is_not_judged() -> None:
    assert decide(make_spec(), make_record(), observed(Held(pid=4322)), NOW).record.phase.kind == "running"
