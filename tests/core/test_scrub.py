"""Which checkpoint is verified again, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.core.scrub import LOOK_AGAIN, SETTLED, WEEK, Candidate, decide_scrub, find_rest

NOW = 10 * WEEK
HOUR = 3600.0


def one(name: str, age: float, looked: float | None = None, *, is_busy: bool = False) -> Candidate:
    """Committed `age` seconds ago, and last read `looked` seconds ago."""
    return Candidate("job", name, NOW - age, None if looked is None else NOW - looked, is_busy)


@pytest.mark.parametrize(
    ("candidates", "chosen", "look_in"),
    [
        ([], None, LOOK_AGAIN),
        ([one("a", SETTLED)], "a", 0),
        ([one("a", SETTLED - 60)], None, 60),
        ([one("a", SETTLED, is_busy=True)], None, LOOK_AGAIN),
        ([one("a", HOUR), one("b", 2 * HOUR)], "a", 0),
        ([one("a", 3 * WEEK, WEEK), one("b", 3 * WEEK, 2 * WEEK)], "b", 0),
        ([one("a", 3 * WEEK, 2 * WEEK), one("new", HOUR)], "new", 0),
        ([one("a", 3 * WEEK, WEEK - 60)], None, 60),
        ([one("a", 3 * WEEK, HOUR)], None, LOOK_AGAIN),
        ([one("future", -HOUR)], None, SETTLED),
        ([one("looked in the future", WEEK, -WEEK)], None, LOOK_AGAIN),
    ],
)
def test_one_is_chosen_new_ones_first_and_then_who_was_not_looked_at_for_longest(
    candidates: list[Candidate], chosen: str | None, look_in: float
) -> None:
    decided = decide_scrub(candidates, 0.0, NOW)
    assert (decided.candidate.name if decided.candidate else None) == chosen
    assert decided.look_at == NOW + look_in


def test_after_one_there_is_a_rest_in_proportion() -> None:
    assert find_rest(NOW, 3.0) == NOW + 60
    assert decide_scrub([one("a", HOUR)], NOW + 60, NOW).candidate is None
    assert decide_scrub([one("a", HOUR)], NOW + 60, NOW).look_at == NOW + 60


AGES = st.floats(0, 5 * WEEK)


@given(st.lists(st.builds(one, st.text(min_size=1), AGES, st.none() | AGES, is_busy=st.booleans())), AGES)
def test_none_is_read_beside_a_save_of_its_job_or_twice_in_a_week_and_each_look_has_an_end(
    candidates: list[Candidate], rest: float
) -> None:
    decided = decide_scrub(candidates, NOW - rest, NOW)
    assert NOW <= decided.look_at <= NOW + LOOK_AGAIN
    if decided.candidate is not None:
        assert not decided.candidate.is_busy
        assert decided.candidate.looked_at is None or decided.candidate.looked_at <= NOW - WEEK + 1e-3
