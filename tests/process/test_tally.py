"""What a keeper counts of an attempt's time, from the messages of its job."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.core.tally import Tally as SeenTally
from perdured.keeper import talk
from perdured.keeper.tally import Tally, describe_tally

BEGAN = 100.0
STACKS: dict[str, object] = {"type": "stacks", "signal": 43}
CHECKPOINT: dict[str, object] = {"type": "checkpoint", "step": 1, "path": "/c"}


def progress(step: int, at: float, **more: object) -> tuple[dict[str, object], float]:
    return {"type": "progress", "step": step, "at": at, **more}, at


def saving(at: float) -> tuple[dict[str, object], float]:
    return {"type": "saving", "step": 1}, at


def hear(*told: tuple[dict[str, object], float], client: int = 1) -> talk.Told:
    state = talk.Told(tally=Tally(since=BEGAN))
    for message, now in told:
        state = talk.hear_job(state, message, client, now)
    return state


def count(state: talk.Told, now: float) -> SeenTally:
    """As the daemon reads it."""
    return SeenTally.model_validate(describe_tally(state.tally, now, 0.0))


def test_a_run_is_divided_at_its_first_word_its_first_step_and_its_saves() -> None:
    state = hear(
        (STACKS, 103.0), progress(1, 108.0), progress(5, 112.0), saving(112.0), (CHECKPOINT, 114.0), progress(6, 115.0)
    )
    tally = count(state, 115.5)
    assert (tally.untold, tally.loading, tally.training, tally.saving) == (3.0, 5.0, 5.0, 2.0)
    assert (tally.part, tally.silence, tally.kept, tally.is_measured) == ("training", 0.5, 3.0 + 4.0, True)


def test_a_program_that_tells_only_its_saves_is_no_more_divided_than_that() -> None:
    """`perdure.save`: its first word comes with its first save, hours after it began."""
    state = hear(progress(1, 160.0), saving(160.0), (CHECKPOINT, 163.0))
    tally = count(state, 170.0)
    assert (tally.untold, tally.loading, tally.training, tally.saving) == (60.0, 0.0, 0.0, 3.0)
    assert (tally.part, tally.silence, tally.kept, tally.is_measured) == ("untold", 7.0, 60.0, False)


def test_copies_into_memory_are_part_of_saving() -> None:
    """The job tells how long they took so far; they are in no message of their own."""
    state = hear((STACKS, 100.0), progress(1, 101.0), progress(2, 103.0, stalled=0.5), progress(3, 104.0, stalled=0.75))
    tally = count(state, 104.0)
    assert (tally.training, tally.saving) == (3.0 - 0.75, 0.75)


def test_a_save_that_the_keeper_made_ends_with_its_answer() -> None:
    state = hear((STACKS, 100.0), progress(1, 101.0), saving(101.0))
    state = talk.forget_saving(state, 1, 104.0)
    tally = count(state, 106.0)
    assert (tally.saving, tally.part, tally.silence) == (3.0, "training", 2.0)


def test_the_time_since_the_last_sign_stays_open_when_the_process_is_gone() -> None:
    """It may have been a hang, which the daemon knows."""
    state = hear((STACKS, 100.0), progress(1, 101.0), progress(2, 102.0))
    state = talk.forget_client(state, 1, 130.0)
    tally = count(state, 130.0)
    assert (tally.training, tally.silence, tally.part) == (1.0, 28.0, "training")


def test_a_process_that_dies_in_its_save_was_saving() -> None:
    state = talk.forget_client(hear((STACKS, 100.0), progress(1, 101.0), saving(101.0)), 1, 130.0)
    assert count(state, 130.0).part == "saving"


@pytest.mark.parametrize("is_by_the_keeper", [True, False])
def test_to_stand_still_for_a_notice_is_neither_a_save_nor_training(is_by_the_keeper: bool) -> None:
    state = hear((STACKS, 100.0), progress(1, 101.0), saving(102.0))
    saved = talk.forget_saving(state, 1, 104.0) if is_by_the_keeper else talk.hear_job(state, CHECKPOINT, 1, 104.0)
    stands = saved
    for at in (104.0, 109.0, 114.0):
        stands = talk.hear_job(stands, {"type": "parked", "step": 1, "saved": True, "at": at}, 1, at)
    tally = count(stands, 116.0)
    assert (tally.part, tally.silence, tally.standing, tally.saving) == ("standing", 2.0, 10.0, 2.0)
    goes_on = talk.hear_job(stands, {"type": "going_on", "at": 116.0}, 1, 116.0)
    tally = count(goes_on, 117.0)
    assert (tally.part, tally.standing, tally.saving, tally.training) == ("training", 12.0, 2.0, 1.0)


def test_who_stands_still_before_its_first_step_loads_on_afterwards() -> None:
    state = hear((STACKS, 100.0), ({"type": "parked", "step": 0, "saved": True}, 103.0), ({"type": "going_on"}, 110.0))
    tally = count(state, 112.0)
    assert (tally.loading, tally.standing, tally.part) == (3.0, 7.0, "loading")


def test_a_program_that_tells_only_its_saves_can_stand_still_as_well() -> None:
    """`perdure.save`, which has no pulse."""
    parked = ({"type": "parked", "step": 1, "saved": True}, 170.0)
    state = hear(progress(1, 160.0), saving(160.0), (CHECKPOINT, 165.0), parked, ({"type": "going_on"}, 200.0))
    tally = count(state, 201.0)
    assert (tally.untold, tally.saving, tally.standing, tally.part) == (65.0, 5.0, 30.0, "untold")


def test_time_that_the_machine_slept_is_told_apart() -> None:
    tally = Tally(since=BEGAN, slept=50.0)
    assert describe_tally(tally, 110.0, 53.0)["asleep"] == 3.0


def test_words_that_are_no_sign_of_the_work_move_nothing() -> None:
    state = hear(({"type": "pace"}, 120.0), ({"type": "memory"}, 130.0), ({"type": "of a later version"}, 140.0))
    assert state.tally == Tally(since=BEGAN)


_message = st.sampled_from(
    [
        *("progress", "phase", "stacks", "saving", "checkpoint", "parked", "going_on"),
        *("pace", "other", "gone", "answered"),
    ]
)


@given(told=st.lists(st.tuples(_message, st.integers(1, 3), st.floats(0, 50), st.floats(0, 60)), max_size=30))
def test_whatever_is_told_by_whom_and_however_late_each_second_is_counted_once(
    told: list[tuple[str, int, float, float]],
) -> None:
    state, now = talk.Told(tally=Tally(since=BEGAN)), BEGAN
    for kind, client, later, stalled in told:
        now += later
        message = {"type": kind, "step": 1, "path": "/c", "signal": 43, "name": "evaluation", "stalled": stalled}
        message |= {"saved": True} if kind == "parked" else {}
        if kind == "gone":
            state = talk.forget_client(state, client, now)
        elif kind == "answered":
            state = talk.forget_saving(state, client, now)
        else:
            state = talk.hear_job(state, message | {"at": now - later / 2}, client, now)
    tally = count(state, now)
    assert tally.total == pytest.approx(now - BEGAN, abs=0.01)
