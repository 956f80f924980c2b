"""Tracebacks out of output, and when two of them are the same failure."""

from __future__ import annotations

import pytest

from perdured.core.ends.tracebacks import Traceback, find_tracebacks, make_fingerprint


def print_traceback(
    *, line: int = 7, source: str = "x = f(1)", error: str = "ValueError: bad", file: str = "/a/train.py"
) -> str:
    return (
        f'Traceback (most recent call last):\n  File "{file}", line {line}, in main\n    {source}\n    ~~^^^\n{error}'
    )


def read(text: str) -> Traceback:
    (found,) = find_tracebacks(text.splitlines())
    return found


def test_type_message_and_frames_are_read() -> None:
    found = read("step 1\n" + print_traceback() + "\n")
    assert (found.type, found.message, found.error) == ("ValueError", "bad", "ValueError: bad")
    assert found.frames == (("/a/train.py", "main", "x = f(1)"),)


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_one_that_was_cut_off_is_not_taken(cut: int) -> None:
    assert find_tracebacks(print_traceback().splitlines()[:cut]) == []


def test_what_led_to_another_is_marked() -> None:
    link = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
    first, second = find_tracebacks((print_traceback() + link + print_traceback(error="KeyError: 2")).splitlines())
    assert (first.is_chained, second.is_chained) == (False, True)
    alone = find_tracebacks((print_traceback() + "\n\n" + print_traceback()).splitlines())
    assert [traceback.is_chained for traceback in alone] == [False, False]


def test_ranks_that_speak_at_once_are_told_apart() -> None:
    ranks = [print_traceback(error=f"ValueError: rank {n}").splitlines() for n in range(3)]
    mixed = [f"[rank{n}]: {line}" for lines in zip(*ranks, strict=True) for n, line in enumerate(lines)]
    assert [found.message for found in find_tracebacks(mixed)] == ["rank 0", "rank 1", "rank 2"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"line": 7}, {"line": 8}),
        ({"file": "/tmp/run1/train.py"}, {"file": "/tmp/run2/train.py"}),
        ({"error": "OSError: pid 123 at 0x7f12ab"}, {"error": "OSError: pid 9 at 0x55"}),
        ({"error": "OSError: /tmp/tmpa1b2/x is gone"}, {"error": "OSError: /tmp/tmpzz/x is gone"}),
        (
            {"error": "E: run 6f1c2a90-1111-2222-3333-444455556666"},
            {"error": "E: run 7a1c2a90-9999-2222-3333-4444aaaa6666"},
        ),
        ({"error": "E: Tried to allocate 20.00 GiB"}, {"error": "E: Tried to allocate 1.50 GiB"}),
    ],
)
def test_the_same_failure_has_the_same_fingerprint(one: dict[str, str], other: dict[str, str]) -> None:
    assert make_fingerprint(read(print_traceback(**one))) == make_fingerprint(read(print_traceback(**other)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [{"error": "ValueError: worse"}, {"error": "KeyError: bad"}, {"source": "assert y"}, {"file": "/a/model.py"}],
)
def test_another_failure_has_another_fingerprint(other: dict[str, str]) -> None:
    assert make_fingerprint(read(print_traceback())) != make_fingerprint(read(print_traceback(**other)))  # type: ignore[arg-type]


def test_a_table_or_a_word_is_no_traceback() -> None:
    assert find_tracebacks(["| a | b |", "Traceback", "  indented", "ValueError: alone"]) == []
