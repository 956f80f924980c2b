"""What a host wants of the lease of its own job."""

from __future__ import annotations

import pytest

from perdured.core.lease import Aim
from perdured.core.lease_aim import Surroundings, decide_aim, say_why
from perdured.core.record import Parked, ParkedInPlace, Phase, Queued, Waiting, Wish
from support.jobs import NOW, PHASES, make_record

USUAL = Surroundings()
FENCED, NOTICED = Surroundings(is_fenced=True), Surroundings(is_noticed=True)
NOT_COPIED = Surroundings(is_copied=False, is_noticed=True, is_fenced=True)
IN_PLACE = ParkedInPlace(attempt=1, step=7, saved=True)


@pytest.mark.parametrize("phase", ["queued", "starting", "running", "saving", "waiting"])
def test_what_runs_or_is_to_run_is_held(phase: str) -> None:
    assert decide_aim(make_record(PHASES[phase]), USUAL) == "hold"


@pytest.mark.parametrize("phase", ["succeeded", "failed", "stopped"])
def test_what_has_ended_is_over_once_its_last_checkpoint_is_in_the_bucket(phase: str) -> None:
    assert decide_aim(make_record(PHASES[phase]), USUAL) == "over"
    assert decide_aim(make_record(PHASES[phase]), NOT_COPIED) == "keep"
    assert decide_aim(make_record(PHASES[phase], wish="restart"), USUAL) == "hold"


@pytest.mark.parametrize(
    ("phase", "wish", "around", "aim"),
    [
        (Parked(), "run", USUAL, "free"),
        (Parked(), "run", NOT_COPIED, "keep"),
        (Parked(), "restart", USUAL, "hold"),
        (Parked(), "restart", FENCED, "free"),
        (Parked(stepped_aside=True), "run", USUAL, "hold"),
        (Parked(stepped_aside=True), "run", FENCED, "free"),
        (IN_PLACE, "run", NOTICED, "free"),
        (IN_PLACE, "run", NOT_COPIED, "keep"),
        (IN_PLACE, "run", USUAL, "hold"),
        (Queued(), "run", FENCED, "free"),
        (Waiting(until=NOW), "run", FENCED, "free"),
        (Waiting(until=NOW), "run", NOT_COPIED, "keep"),
    ],
)
def test_what_waits_for_another_machine_is_given_back_at_once(
    phase: Phase, wish: Wish, around: Surroundings, aim: Aim
) -> None:
    """But not before the bucket has what the disk has: without a lease nothing is copied."""
    assert decide_aim(make_record(phase, wish=wish), around) == aim


def test_a_fenced_machine_keeps_what_still_runs() -> None:
    assert decide_aim(make_record(), FENCED._replace(is_noticed=True)) == "hold"


def test_why_it_is_given_back_is_said_with_its_step() -> None:
    assert say_why(make_record(IN_PLACE, progress=7)) == "parked at step 7"
    assert say_why(make_record(PHASES["failed"], progress=None)) == "failed"
