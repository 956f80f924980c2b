"""When a periodic checkpoint is due."""

from __future__ import annotations

import pytest

from perdure.schedule import AUTO, Mark, Schedule, is_due, parse_schedule


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("auto", AUTO),
        ("500 steps", Schedule(500, None)),
        ("1 step", Schedule(1, None)),
        ("7steps", Schedule(7, None)),
        ("10min", Schedule(None, 600.0)),
        ("10 min", Schedule(None, 600.0)),
        ("1h30min", Schedule(None, 5400.0)),
        ("0.5s", Schedule(None, 0.5)),
        ("200ms", Schedule(None, 0.2)),
        ("2d", Schedule(None, 172800.0)),
    ],
)
def test_an_interval_is_understood(text: str, schedule: Schedule) -> None:
    assert parse_schedule(text) == schedule


@pytest.mark.parametrize(
    "text", ["", "500", "steps", "-5 steps", "0 steps", "0s", "5 epochs", "10min 5", "always", "1.5 steps"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"interval|neither"):
        parse_schedule(text)


@pytest.mark.parametrize(
    ("text", "step", "time", "due"),
    [
        ("5 steps", 104, 9999.0, False),
        ("5 steps", 105, 10.0, True),
        ("5 steps", 107, 10.0, True),
        ("60s", 105, 69.9, False),
        ("60s", 105, 70.0, True),
        ("60s", 100, 99999.0, False),
    ],
)
def test_it_is_due_after_so_many_steps_or_seconds_if_there_was_a_step(
    text: str, step: int, time: float, due: bool
) -> None:
    assert is_due(parse_schedule(text), Mark(100, 10.0), Mark(step, time)) is due
