"""Durations and sizes as people write and read them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.core.units import human_duration, human_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("250ms", 0.25),
        ("10min", 600.0),
        ("10m", 600.0),
        ("1.5h", 5400.0),
        ("1h30min", 5400.0),
        (" 1h 30 min ", 5400.0),
        ("2d", 172800.0),
        ("0s", 0.0),
        ("3 sec", 3.0),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", " ", "5", "s", "5 parsecs", "-5s", "5s-", "1e3s", "inf", "5S", "9" * 400 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("16GiB", 16 << 30), ("512 MiB", 512 << 20), ("1GB", 10**9), ("1.5KiB", 1536), ("7B", 7), ("2TB", 2 * 10**12)],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "16", "GiB", "-1GiB", "16gib", "1GiB 2MiB", "9" * 400 + "GiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_size(text)


@given(st.text())
def test_any_text_is_read_or_refused_and_nothing_else_happens(text: str) -> None:
    for parse in (parse_duration, parse_size):
        with contextlib.suppress(ValueError):
            assert parse(text) >= 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s"),
        (0.4, "0.4 s"),
        (8.0, "8 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125.0, "2 min 5 s"),
        (3599.7, "1 h"),
        (12_000.0, "3 h 20 min"),
        (86_399.0, "1 d"),
        (187_200.0, "2 d 4 h"),
        (864_000.0, "10 d"),
    ],
)
def test_a_duration_is_shown_in_two_units_at_most(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@given(st.floats(min_value=0, max_value=1e9))
def test_a_shown_duration_is_near_the_true_one(seconds: float) -> None:
    """Within half of the smaller unit shown, which is at most a twenty-fourth of the larger."""
    shown = parse_duration(human_duration(seconds))
    assert abs(shown - seconds) <= max(0.051, 0.5 if seconds < 3600 else seconds / 40)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (812, "812 B"),
        (1024, "1.0 KiB"),
        (1_468_006, "1.4 MiB"),
        (24 << 30, "24 GiB"),
        ((1 << 20) - 1, "1.0 MiB"),
        (5000 << 40, "5000 TiB"),
    ],
)
def test_a_size_is_shown(size: int, text: str) -> None:
    assert human_size(size) == text
