"""What a keeper learns of a run's pulse from its messages."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.keeper.pulse import KEPT, WARM_UP, Pulse, describe_pulse, hear_pulse

Told = tuple[dict[str, object], float]


def hear(told: Iterable[Told], pulse: Pulse | None = None) -> Pulse | None:
    for message, now in told:
        pulse = hear_pulse(pulse, message, 1, now)
    return pulse


def a_run(durations: Iterable[float], *, late: float = 0.0) -> list[Told]:
    """One that has told a phase, and then these steps; the keeper hears each `late` seconds after it was told."""
    told: list[Told] = [({"type": "phase", "name": "evaluation", "at": 100.0}, 100.0)]
    at = 100.0
    for step, duration in enumerate(durations, start=1):
        at += duration
        told.append(({"type": "progress", "step": step, "at": at}, at + late))
    return told


def heard(told: Iterable[Told]) -> Pulse:
    pulse = hear(told)
    assert pulse is not None
    return pulse


def test_the_first_steps_compile_and_are_no_measure_of_the_others() -> None:
    pulse = heard(a_run([30.0] * WARM_UP + [0.5] * 5))
    assert pulse.phase == "training"
    assert describe_pulse(pulse, 999.0)["median"] == pytest.approx(0.5)
    assert describe_pulse(pulse, 999.0)["slowest"] == pytest.approx(0.5)


def test_until_then_it_warms_up() -> None:
    assert heard(a_run([1.0] * (WARM_UP - 1))).phase == "warming_up"


@given(late=st.floats(0, 1e4))
def test_a_keeper_that_hears_late_measures_the_same(late: float) -> None:
    """The job says when it spoke."""
    durations = [1.0] * WARM_UP + [0.5, 2.0, 0.25]
    assert heard(a_run(durations, late=late)) == heard(a_run(durations))


def test_steps_between_two_messages_share_the_time() -> None:
    """Progress is told ten times a second at most."""
    told = a_run([1.0] * WARM_UP)
    told.append(({"type": "progress", "step": WARM_UP + 20, "at": 111.0}, 111.0))
    pulse = heard(told)
    assert pulse.durations == (0.05,)
    assert pulse.slowest["training"] == pytest.approx(1.0), "but a silence is a silence"


def test_an_evaluation_and_a_save_are_not_taken_for_steps() -> None:
    told = a_run([1.0] * (WARM_UP + 3))
    end = told[-1][1]
    told += [
        ({"type": "phase", "name": "evaluation", "at": end + 1}, end + 1),
        ({"type": "progress", "step": WARM_UP + 4, "at": end + 600}, end + 600),
        ({"type": "saving", "step": WARM_UP + 4}, end + 601),
        ({"type": "checkpoint", "step": WARM_UP + 4, "path": "/c"}, end + 700),
        ({"type": "progress", "step": WARM_UP + 5, "at": end + 701}, end + 701),
    ]
    pulse = heard(told)
    assert max(pulse.durations) == pytest.approx(1.0)
    assert pulse.slowest["evaluation"] == pytest.approx(599.0)
    assert pulse.slowest["saving"] == pytest.approx(99.0)
    assert pulse.phase == "training"


def test_who_only_saves_now_and_then_has_no_pulse() -> None:
    """`perdure.save` tells its saves, which may come in pairs and then not for an hour."""
    saves: list[Told] = []
    for number in range(20):
        saves += [({"type": kind, "step": number, "path": "/c"}, 10.0 * number) for kind in ("progress", "checkpoint")]
    assert hear(saves) is None


def test_another_process_that_saves_does_not_disturb_the_pulse_of_the_run() -> None:
    pulse = hear(a_run([1.0] * 12))
    assert hear_pulse(pulse, {"type": "progress", "step": 3}, 2, 500.0) == pulse


@given(st.lists(st.floats(1e-6, 1e5), max_size=200), st.lists(st.floats(allow_nan=False), max_size=5))
def test_whatever_times_are_told_what_is_kept_is_bounded_and_no_time_lies_ahead(
    durations: list[float], lies: list[float]
) -> None:
    told = a_run(durations)
    now = told[-1][1]
    told += [({"type": "progress", "step": 10**6 + n, "at": lie}, now) for n, lie in enumerate(lies)]
    pulse = heard(told)
    assert len(pulse.durations) <= KEPT
    assert all(duration > 0 for duration in pulse.durations)
    assert pulse.heard_at <= now
