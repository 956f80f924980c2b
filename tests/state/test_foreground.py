"""The part of `perdure run` that needs no process: where the last lines of an output begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.foreground import _MOST_OF_A_TAIL, _TAIL_LINES, find_tail

LINES = [f"line {number}\n".encode() for number in range(100)]


@pytest.mark.parametrize(
    ("text", "tail"),
    [
        (b"", b""),
        (b"unfinished", b"unfinished"),
        (b"".join(LINES[:3]), b"".join(LINES[:3])),
        (b"".join(LINES), b"".join(LINES[-_TAIL_LINES:])),
        (b"".join(LINES) + b"10%", b"".join(LINES[-_TAIL_LINES + 1 :]) + b"10%"),
        (b"x" * _MOST_OF_A_TAIL + b"\nend\n", b"end\n"),
        (b"x" * (_MOST_OF_A_TAIL + 9), b"x" * _MOST_OF_A_TAIL),
    ],
    ids=["empty", "unfinished", "few", "many", "progress", "long-line", "one-line"],
)
def test_a_tail_is_whole_lines_and_not_too_many(tmp_path: Path, text: bytes, tail: bytes) -> None:
    (tmp_path / "log").write_bytes(text)
    assert text[find_tail(tmp_path / "log") :] == tail
