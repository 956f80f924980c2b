"""The ledger: each part by an example, a random history against the time that it really took, and the one law: whatever
is on record, and whatever the clocks did, the parts add up to the whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.core.chronicle import NOTE_EVERY
from perdured.core.decide import decide
from perdured.core.ends.cause import Cause
from perdured.core.ends.end import End
from perdured.core.ledger import PARTS, Ledger, make_ledger
from perdured.core.observation import Observation
from perdured.core.record import AttemptRecord, JobRecord, Phase, Queued, Running, Starting, Waiting
from perdured.core.tally import Tally
from support.jobs import NOW, PHASES, ended, held, make_record, make_spec, observed

NOTHING = Observation()


def attempt_of(number: int = 1, cause: Cause | None = Cause.EXIT_CODE, **changes: Any) -> AttemptRecord:
    """Times are seconds after the submission."""
    times = ("queued_at", "launched_at", "started_at", "ended_at", "kept_until", "hung_since")
    at = {name: NOW + value if name in times and value is not None else value for name, value in changes.items()}
    end = End(cause=cause, why="so it was") if cause is not None and changes.get("ended_at") is not None else None
    return AttemptRecord(number=number, pid=4321, end=end).model_copy(update=at)


def ledger_of(phase: Phase, *attempts: AttemptRecord, until: float, seen: Observation = NOTHING, **more: Any) -> Ledger:
    record = JobRecord(id="job", name="job", submitted_at=NOW, phase=phase, attempts=attempts, **more)
    return make_ledger(record, seen, NOW + until)


def parts_of(ledger: Ledger) -> dict[str, float]:
    return {part: round(getattr(ledger, part), 6) for part in PARTS if getattr(ledger, part)}


def measured(**seconds: Any) -> Tally:
    """Of a program that tells its steps, in the middle of its training."""
    return Tally.model_validate({"is_measured": True, "part": "training"} | seconds)


# Part by part ---------------------------------------------------------------------------------------------------------


def test_before_its_first_start_a_job_is_queued() -> None:
    assert parts_of(ledger_of(Queued(), until=30)) == {"queued": 30}


def test_a_start_that_goes_on_is_part_of_the_ledger() -> None:
    started = attempt_of(cause=None, launched_at=10)
    assert parts_of(ledger_of(Starting(attempt=1), started, until=15)) == {"queued": 10, "starting": 5}


def test_a_run_that_tells_its_steps_is_divided_as_its_keeper_counted() -> None:
    """What is open goes to the part that it was in when it last gave a sign."""
    running = attempt_of(cause=None, launched_at=1, started_at=2)
    tally = measured(untold=3, loading=4, training=70, saving=5, silence=0.5)
    seen = Observation(attempt=held(), tally=tally, step=70)
    assert parts_of(ledger_of(Running(attempt=1), running, until=100, seen=seen)) == {
        "queued": 1, "starting": 1 + 3, "loading": 4, "saving": 5, "useful": 86,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("part", "goes_to"), [("untold", "starting"), ("loading", "loading"), ("saving", "saving"), ("standing", "waiting")]
)
def test_what_it_is_doing_now_counts_already(part: str, goes_to: str) -> None:
    running = attempt_of(cause=None, launched_at=0, started_at=0)
    seen = Observation(attempt=held(), tally=measured(part=part))
    assert parts_of(ledger_of(Running(attempt=1), running, until=9, seen=seen)) == {goes_to: 9}


def test_a_job_that_stands_still_for_a_notice_waits() -> None:
    running = attempt_of(cause=None, launched_at=0, started_at=0)
    seen = Observation(attempt=held(), tally=measured(training=40, saving=2, standing=50), step=40)
    assert parts_of(ledger_of(Running(attempt=1), running, until=95, seen=seen)) == {
        "saving": 2, "waiting": 50, "useful": 43,
    }  # fmt: skip


def test_of_a_program_that_tells_nothing_all_but_its_saves_is_work() -> None:
    running = attempt_of(cause=None, launched_at=0, started_at=0)
    seen = Observation(attempt=held(), tally=Tally(untold=40, saving=10))
    assert parts_of(ledger_of(Running(attempt=1), running, until=60, seen=seen)) == {"saving": 10, "useful": 50}


def test_steps_that_were_reached_before_are_redone() -> None:
    """It had come to step 100 when it died, went on from 60, and has come to 120: two of three steps were not new."""
    first = attempt_of(launched_at=0, started_at=0, ended_at=100, step=100, tally=measured(training=100))
    again = attempt_of(2, None, launched_at=100, started_at=100, resumed_from_step=60)
    seen = Observation(attempt=held(), tally=measured(training=60), step=120)
    ledger = ledger_of(Running(attempt=2), first, again, until=160, seen=seen)
    assert parts_of(ledger) == {"useful": 100 + 20, "redone": 40}


@pytest.mark.parametrize("step", [None, 60, 99, 100])
def test_until_it_has_come_as_far_as_before_all_of_it_is_redone(step: int | None) -> None:
    first = attempt_of(launched_at=0, started_at=0, ended_at=100, step=100, tally=measured(training=100))
    again = attempt_of(2, None, launched_at=100, started_at=100, resumed_from_step=60)
    seen = Observation(attempt=held(), tally=measured(training=20), step=step)
    assert ledger_of(Running(attempt=2), first, again, until=120, seen=seen).redone == 20


def test_without_steps_as_many_seconds_are_redone_as_had_passed_since_the_checkpoint() -> None:
    first = attempt_of(launched_at=0, started_at=0, ended_at=100, kept_until=75)
    again = attempt_of(2, None, launched_at=110, started_at=110)
    for until, redone in ((120, 10), (135, 25), (200, 25)):
        ledger = ledger_of(Running(attempt=2), first, again, until=until)
        assert parts_of(ledger) == {"useful": 100 + until - 110 - redone, "waiting": 10, "redone": redone}


def test_a_program_that_told_its_steps_before_and_nothing_this_time_had_only_started() -> None:
    """It died in its imports: that was no work."""
    first = attempt_of(launched_at=0, started_at=0, ended_at=50, step=50, tally=measured(training=50))
    second = attempt_of(2, launched_at=50, started_at=50, ended_at=60, tally=Tally(untold=0, silence=10))
    assert parts_of(ledger_of(Waiting(until=0), first, second, until=60)) == {"useful": 50, "starting": 10}


def test_what_was_lost_twice_is_redone_twice() -> None:
    """Without a checkpoint: 50 s, then 20 s of the same, then all 50 once more before anything is new."""
    one = attempt_of(launched_at=0, started_at=0, ended_at=50)
    two = attempt_of(2, launched_at=50, started_at=50, ended_at=70)
    three = attempt_of(3, None, launched_at=70, started_at=70)
    assert parts_of(ledger_of(Running(attempt=3), one, two, three, until=150)) == {"useful": 50 + 30, "redone": 20 + 50}


def test_a_hang_is_the_time_from_the_last_sign_of_life_to_the_end() -> None:
    hung = attempt_of(cause=Cause.HANG, launched_at=0, started_at=0, ended_at=90, hung_since=60, step=60)
    hung = hung.model_copy(update={"tally": measured(training=60, silence=30)})
    assert parts_of(ledger_of(Waiting(until=0), hung, until=95)) == {"useful": 60, "hung": 30, "waiting": 5}
    found_again = hung.model_copy(update={"hung_since": None})
    assert parts_of(ledger_of(Waiting(until=0), found_again, until=95)) == {"useful": 60, "hung": 30, "waiting": 5}


def test_the_time_between_an_end_and_the_next_start_is_waited() -> None:
    first = attempt_of(launched_at=0, started_at=0, ended_at=50)
    second = attempt_of(2, None, launched_at=58, started_at=59)
    assert parts_of(ledger_of(Waiting(until=0), first, until=60)) == {"useful": 50, "waiting": 10}
    ledger = ledger_of(Running(attempt=2), first, second, until=59)
    assert parts_of(ledger) == {"useful": 50, "waiting": 8, "starting": 1}


def test_a_job_that_came_back_into_the_queue_waited_until_then() -> None:
    first = attempt_of(launched_at=0, started_at=0, ended_at=50)
    ledger = ledger_of(Queued(), first, until=80, phase_since=NOW + 70)
    assert parts_of(ledger) == {"useful": 50, "waiting": 20, "queued": 10}
    second = attempt_of(2, None, queued_at=70, launched_at=90, started_at=91)
    ledger = ledger_of(Running(attempt=2), first, second, until=91)
    assert parts_of(ledger) == {"useful": 50, "waiting": 20, "queued": 20, "starting": 1}


@pytest.mark.parametrize(("phase", "goes_on"), [("parked", True), ("stopped", False), ("succeeded", False)])
def test_the_clock_of_what_is_over_stands_still_and_that_of_what_is_parked_goes_on(phase: str, goes_on: bool) -> None:
    only = attempt_of(launched_at=0, started_at=0, ended_at=50)
    ledger = ledger_of(PHASES[phase], only, until=80, ended_at=NOW + 50)
    assert parts_of(ledger) == {"useful": 50} | ({"waiting": 30} if goes_on else {})


def test_an_attempt_that_could_not_be_started_was_starting() -> None:
    refused = attempt_of(cause=Cause.REFUSED, launched_at=5, started_at=None, ended_at=9)
    assert parts_of(ledger_of(Waiting(until=0), refused, until=20)) == {"queued": 5, "starting": 4, "waiting": 11}


@pytest.mark.parametrize("cause", [Cause.REBOOTED, Cause.UNKNOWN])
def test_after_the_last_word_of_an_attempt_whose_end_nobody_saw_it_is_waited(cause: Cause) -> None:
    """The machine was lost, and came back an hour later."""
    lost = attempt_of(cause=cause, launched_at=0, started_at=0, ended_at=3600)
    told = lost.model_copy(update={"tally": measured(untold=10, training=300), "kept_until": NOW + 200})
    assert parts_of(ledger_of(Waiting(until=0), told, until=3600)) == {"starting": 10, "useful": 300, "waiting": 3290}
    saved = lost.model_copy(update={"kept_until": NOW + 200})
    assert parts_of(ledger_of(Waiting(until=0), saved, until=3600)) == {"useful": 200, "waiting": 3400}


def test_a_machine_that_sleeps_is_waited_for() -> None:
    running = attempt_of(cause=None, launched_at=0, started_at=0)
    seen = Observation(attempt=held(), tally=measured(training=100, asleep=7000), step=100)
    ledger = ledger_of(Running(attempt=1), running, until=7110, seen=seen)
    assert parts_of(ledger) == {"useful": 110, "waiting": 7000}


def test_a_record_of_an_older_version_knows_beginnings_and_ends() -> None:
    first = attempt_of(started_at=5, ended_at=50, kept_until=40)
    second = attempt_of(2, None, started_at=60)
    ledger = ledger_of(Running(attempt=2), first, second, until=100)
    assert parts_of(ledger) == {"queued": 5, "useful": 45 + 30, "waiting": 10, "redone": 10}


# What decide puts on record -------------------------------------------------------------------------------------------


def test_the_start_is_stamped_with_when_it_was_decided_and_since_when_it_was_queued() -> None:
    again = decide(make_spec(), make_record(PHASES["stopped"], wish="restart"), NOTHING, NOW).record
    assert (again.phase.kind, again.phase_since) == ("queued", NOW)
    last = decide(make_spec(), again, NOTHING, NOW + 5).record.attempts[-1]
    assert (last.queued_at, last.launched_at) == (NOW, NOW + 5)
    waited = decide(make_spec(), make_record(Waiting(until=NOW)), NOTHING, NOW).record.attempts[-1]
    assert (waited.queued_at, waited.launched_at) == (None, NOW)


def test_the_last_tally_is_kept_with_the_end() -> None:
    told, written = Tally(untold=10), Tally(untold=11)
    at_end = ended(1)
    with_tally = at_end.model_copy(update={"exit": at_end.exit.model_copy(update={"tally": written})})
    for seen, tally in ((at_end, told), (with_tally, written)):
        observation = observed(seen).model_copy(update={"tally": told})
        assert decide(make_spec(), make_record(), observation, NOW).record.attempts[-1].tally == tally


def test_the_tally_of_what_runs_is_noted_now_and_then_and_not_at_each_look() -> None:
    """Each note is a write; without any, the loss of the machine would take all of it."""
    record = make_record()
    for seconds, noted in ((NOTE_EVERY - 1, None), (NOTE_EVERY, NOTE_EVERY), (2 * NOTE_EVERY - 1, NOTE_EVERY)):
        seen = observed(held()).model_copy(update={"tally": Tally(untold=seconds)})
        record = decide(make_spec(), record, seen, NOW).record
        last = record.attempts[-1].tally
        assert (last.total if last is not None else None) == noted
        assert decide(make_spec(), record, seen, NOW).record == record


# Against the truth ----------------------------------------------------------------------------------------------------

_seconds = st.integers(0, 500).map(lambda tenths: tenths / 10)


@dataclass
class Life:
    """A job that lives through what is drawn, one step a second, and what is on record of it."""

    tells_steps: bool
    now: float = NOW
    truth: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    attempts: list[AttemptRecord] = field(default_factory=list)
    saved: int = 0
    reached: int = 0

    def spend(self, part: str, seconds: float) -> float:
        self.truth[part] += seconds
        self.now += seconds
        return self.now

    def run(self, draw: st.DrawFn, *, is_last: bool) -> None:
        gap, delay, starting, loading, saving = (draw(_seconds) for _ in range(5))
        queued_at = self.spend("waiting", gap) if self.attempts else self.now
        launched_at = self.spend("queued", delay)
        began = self.spend("starting", draw(_seconds))
        if self.tells_steps:
            self.spend("starting", starting)
            self.spend("loading", loading)
        steps, kept = draw(st.integers(0, 60)), draw(st.integers(0, 60))
        redone = min(max(self.reached - self.saved, 0), steps)
        self.spend("redone", redone)
        self.spend("useful", steps - redone)
        self.spend("saving", saving)
        hung = draw(_seconds) if draw(st.booleans()) and not is_last else 0.0
        hung_since = self.now
        self.spend("hung", hung)
        begin, end = self.saved, self.saved + steps
        tally = Tally(
            part="training" if self.tells_steps else "untold",
            is_measured=self.tells_steps,
            untold=starting if self.tells_steps else steps,
            loading=loading if self.tells_steps else 0.0,
            training=steps if self.tells_steps else 0.0,
            saving=saving,
            silence=hung,
            kept=min(kept, steps) or None,
        )
        cause = Cause.HANG if hung else Cause.EXIT_CODE
        self.attempts.append(
            AttemptRecord(
                number=len(self.attempts) + 1,
                pid=1,
                queued_at=queued_at,
                launched_at=launched_at,
                started_at=began,
                ended_at=None if is_last else self.now,
                end=None if is_last else End(cause=cause, why="so it was"),
                step=end if self.tells_steps and steps else None,
                resumed_from_step=begin or None,
                hung_since=hung_since if hung else None,
                tally=tally,
            )
        )
        self.reached, self.saved = max(self.reached, end), begin + min(kept, steps)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    life = Life(tells_steps=draw(st.booleans()))
    count = draw(st.integers(1, 5))
    for number in range(1, count + 1):
        life.run(draw, is_last=number == count)
    return life


@given(life=lives())
def test_any_life_is_told_as_it_was(life: Life) -> None:
    record = JobRecord(id="job", name="job", submitted_at=NOW, phase=Running(attempt=len(life.attempts)))
    record = record.but(attempts=tuple(life.attempts))
    ledger = make_ledger(record, NOTHING, life.now)
    assert {part: getattr(ledger, part) for part in PARTS} == pytest.approx(life.truth, abs=1e-3)


# The law --------------------------------------------------------------------------------------------------------------

_when = st.none() | st.floats(NOW - 100, NOW + 1000)
_amount = st.floats(0, 2000)
_step = st.none() | st.integers(-5, 1000)
_tallies = st.builds(
    Tally,
    part=st.sampled_from(["untold", "loading", "training", "saving", "what a later version counts"]),
    is_measured=st.booleans(),
    untold=_amount,
    loading=_amount,
    training=_amount,
    saving=_amount,
    silence=_amount,
    asleep=_amount,
    kept=st.none() | _amount,
)
_attempts = st.builds(
    AttemptRecord,
    number=st.just(1),
    pid=st.none() | st.just(1),
    queued_at=_when,
    launched_at=_when,
    started_at=_when,
    ended_at=_when,
    kept_until=_when,
    hung_since=_when,
    step=_step,
    resumed_from_step=_step,
    end=st.none() | st.builds(End, cause=st.sampled_from(Cause), why=st.just("")),
    tally=st.none() | _tallies,
)


@given(
    attempts=st.lists(_attempts, max_size=5),
    phase=st.sampled_from(sorted(PHASES)),
    ended_at=_when,
    since=_when,
    tally=st.none() | _tallies,
    step=_step,
)
def test_the_parts_add_up_to_the_whole_whatever_is_on_record(
    attempts: list[AttemptRecord],
    phase: str,
    ended_at: float | None,
    since: float | None,
    tally: Tally | None,
    step: int | None,
) -> None:
    record = JobRecord(id="job", name="job", submitted_at=NOW, phase=PHASES[phase], ended_at=ended_at)
    numbered = tuple(a.model_copy(update={"number": n}) for n, a in enumerate(attempts, start=1))
    record = record.but(attempts=numbered, phase_since=since)
    now = NOW + 500
    ledger = make_ledger(record, Observation(tally=tally, step=step), now)
    is_over = phase in ("stopped", "succeeded", "failed") and ended_at is not None
    assert ledger.whole == pytest.approx(max((ended_at if is_over and ended_at is not None else now) - NOW, 0.0))
    assert all(getattr(ledger, part) >= 0 for part in PARTS)
    assert ledger.goodput is None or 0 <= ledger.goodput <= 1 + 1e-9
