"""A job whose notice could not be honoured is told of before there is one."""

from __future__ import annotations

from perdured.contract.pacing import Pace
from perdured.core.observation import Observation, Stand, Vitals
from perdured.core.pulse import Pulse
from perdured.core.safe_points import LONGEST, find_deafness
from support.jobs import held


def see(silence: float, *, phase: str = "training", can_park: bool = True, stands: bool = False) -> Observation:
    attempt = held().model_copy(update={"can_park": can_park, "stand": Stand(step=3, saved=True) if stands else None})
    pulse = Pulse(phase=phase, heard_at=1000.0 - silence, told_at=1000.0)
    return Observation(attempt=attempt, vitals=Vitals(pulse=pulse, at=1000.0))


def test_one_that_has_passed_no_safe_point_for_long_could_not_honour_a_notice() -> None:
    said = find_deafness(see(190.0, phase="evaluation"), None)
    assert said is not None
    assert said.startswith("no safe point for 3 min 10 s: a notice could not be honoured now; call run.safe_point()")
    assert find_deafness(see(LONGEST - 1), None) is None


def test_one_whose_steps_are_that_long_could_not_either() -> None:
    said = find_deafness(see(1.0), Pace(slowest_step=90.0))
    assert said is not None
    assert "taken 1 min 30 s" in said
    assert find_deafness(see(1.0), Pace(slowest_step=5.0)) is None


def test_a_script_whose_saves_are_that_far_apart_could_not_either() -> None:
    """`perdure.save`: no steps are heard of, only its saves."""
    seen = Observation(attempt=held().model_copy(update={"can_park": True}))
    said = find_deafness(seen, Pace(slowest_step=1200.0))
    assert said is not None
    assert said.startswith("from one save to the next it has taken 20 min")
    assert find_deafness(seen, Pace(slowest_step=5.0)) is None


def test_one_that_saves_stands_still_or_has_no_safe_points_at_all_is_not_blamed() -> None:
    assert find_deafness(see(190.0, phase="saving"), None) is None
    assert find_deafness(see(190.0, stands=True), None) is None
    assert find_deafness(see(190.0, can_park=False), None) is None, "it is told by a signal, and ends"
    assert find_deafness(Observation(attempt=held()), None) is None
