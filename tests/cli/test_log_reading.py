"""Finding the last lines of a log by reading backwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.cli import logs
from perdured.cli.logs import find_last_lines, read_on

texts = st.lists(st.sampled_from(["\n", "a", "bc\n", "\r"]), max_size=60).map("".join)


@given(texts, st.integers(1, 30), st.integers(1, 9))
def test_the_last_lines_are_those_that_splitting_the_whole_text_gives(text: str, count: int, block: int) -> None:
    content = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "_BLOCK", block)
        offset, found = find_last_lines(lambda at: content[at:], len(content), count)
    lines = text.removesuffix("\n").split("\n") if text else []
    expected = "\n".join(lines[-count:]) + ("\n" if text.endswith("\n") else "")
    assert content[offset:].decode() == (expected if lines else "")
    assert found == min(count, len(lines))


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(0, 300))
def test_reading_on_joins_the_pieces_without_gap_or_overlap(content: bytes, piece: int, offset: int) -> None:
    assert b"".join(read_on(lambda at: content[at : at + piece], offset)) == content[offset:]
