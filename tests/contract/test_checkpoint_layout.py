"""The names in a directory of checkpoints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.contract.checkpoint.layout import (
    CheckpointName,
    format_claim,
    format_name,
    format_temporary,
    format_trash,
    is_trash,
    parse_any_seq,
    parse_claim,
    parse_name,
    parse_temporary,
)

numbers = st.integers(0, 10**12 - 1)
TOKEN = "0123456789ab"


@given(numbers, numbers)
def test_a_name_is_read_as_it_was_written(step: int, seq: int) -> None:
    name = CheckpointName(step, seq)
    assert parse_name(format_name(name)) == name


@given(st.tuples(numbers, numbers), st.tuples(numbers, numbers))
def test_names_order_by_step_then_sequence(left: tuple[int, int], right: tuple[int, int]) -> None:
    assert (CheckpointName(*left) < CheckpointName(*right)) == (left < right)


@given(st.text())
def test_what_is_read_is_written_the_same(text: str) -> None:
    """No two spellings of one name, whatever the text."""
    name = parse_name(text)
    assert name is None or format_name(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "step",
        "step-1-1",
        "step-000000000001-00001",
        "step-000000000001-0000001",  # seven digits for a number of one
        "step-00000000001-000001",
        "step-000000000001-000001 ",
        "step-000000000001-000001\n",
        "step-000000000001-000001.1",
        "Step-000000000001-000001",
        "step-00000000000\u0661-000001",  # a digit, but not one of ours
        "step--00000000001-000001",
        "step-000000000001-+00001",
        "/step-000000000001-000001",
    ],
)
def test_anything_else_is_no_name(text: str) -> None:
    assert parse_name(text) is None


@pytest.mark.parametrize(("step", "seq"), [(-1, 0), (10**12, 0), (0, -1), (0, 10**12)])
def test_a_number_without_a_place_is_refused(step: int, seq: int) -> None:
    with pytest.raises(ValueError, match="not between"):
        format_name(CheckpointName(step, seq))


def test_every_name_of_ours_gives_its_sequence_number_and_no_other_does() -> None:
    ours = ["step-000000000001-000042", ".seq-000042", f".tmp-000042-{TOKEN}", f".trash-000042-{TOKEN}"]
    assert [parse_any_seq(text) for text in [*ours, "step-000000000001-000042.3"]] == [42] * 5
    others = ["quarantine", ".seq-42", ".tmp-000042", ".tmp-000042-xyz", "step-000000000001-000042.reason.json", ".git"]
    assert [parse_any_seq(text) for text in others] == [None] * 6


def test_debris_is_told_apart() -> None:
    assert parse_temporary(format_temporary(7, TOKEN)) == 7
    assert parse_temporary(format_trash(7, TOKEN)) is None
    assert is_trash(format_trash(7, TOKEN))
    assert not is_trash(format_temporary(7, TOKEN))
    assert not is_trash(".trash-mine")
    assert parse_claim(format_claim(7)) == 7
