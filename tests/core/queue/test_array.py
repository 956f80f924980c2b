"""An array is one spec as many jobs, none of which gets in another's way."""

from __future__ import annotations

import pytest

from perdured.core.queue.array import INDEX, SIZE, make_element, parse_array
from support.jobs import make_spec


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3", range(3)), ("1-3", range(1, 4)), (" 0 - 0 ", range(1)), ("1000", range(1000)), ("7-7", range(7, 8))],
)
def test_an_array_is_a_number_of_jobs_or_a_range_with_both_ends(text: str, numbers: range) -> None:
    assert parse_array(text) == numbers


@pytest.mark.parametrize("text", ["", "0", "3-1", "-3", "1,2", "x", "1001", "1-1001", "9" * 50])
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it "):
        parse_array(text)


def test_the_jobs_of_an_array_differ_by_their_number_and_share_no_place() -> None:
    spec = make_spec('name = "sweep"\nenv = { A = "b" }\n[checkpoint]\nremote = "s3://bucket/run"')
    spec = spec.model_copy(update={"command": ("python", "train.py", "--seed={index}", "{checkpoint}")})
    element = make_element(spec, 7, 10)
    assert (element.job_name, element.group) == ("sweep-7", "sweep")
    assert element.command == ("python", "train.py", "--seed=7", "{checkpoint}")
    assert element.env == {"A": "b", INDEX: "7", SIZE: "10"}
    assert (element.checkpoint.dir, element.checkpoint.remote) == ("checkpoints/7", "s3://bucket/run/7")


def test_the_group_that_was_given_is_kept() -> None:
    assert make_element(make_spec('group = "mine"'), 0, 1).group == "mine"


def test_the_longest_name_has_room_for_a_number() -> None:
    element = make_element(make_spec(f'name = "{"x" * 64}"'), 999, 1000)
    assert element.job_name == "x" * 60 + "-999"
