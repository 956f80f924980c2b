"""Times, widths and columns."""

from __future__ import annotations

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdured.cli.text import (
    Cell,
    clean,
    format_age,
    format_bar,
    format_clock,
    format_date,
    format_step,
    format_table,
    parse_time,
    shorten,
    width_of,
    wrap,
)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "just now"),
        (1, "just now"),
        (2, "2s ago"),
        (59.9, "59s ago"),
        (60, "1m ago"),
        (3599, "59m ago"),
        (3600, "1h ago"),
        (86399, "23h ago"),
        (86400 * 12, "12d ago"),
    ],
)
def test_ages_have_one_unit_and_are_rounded_down(seconds: float, shown: str) -> None:
    assert format_age(1000.0, 1000.0 + seconds) == shown


def test_times_of_the_api_are_read_and_shown_in_the_local_zone(in_berlin: None) -> None:
    at = parse_time("2026-11-24T17:51:02.250Z")
    assert at == 1795542662.25
    assert format_date(at) == "2026-11-24 18:51:02 +0100"
    assert format_clock(at) == "11-24 18:51:02"


def test_a_step_is_shown_with_its_total_when_that_is_known() -> None:
    assert [format_step(3, 10), format_step(3, None), format_step(None, 10)] == ["3/10", "3", "-"]


@pytest.mark.parametrize(
    ("done", "bar"), [(0, "░░░░░░░░░░ 0%"), (30, "███░░░░░░░ 30%"), (100, "██████████ 100%"), (130, "██████████ 100%")]
)
def test_a_bar_never_leaves_its_frame(done: int, bar: str) -> None:
    assert format_bar(done, 100, 10) == bar


def test_what_a_job_says_cannot_steer_the_terminal() -> None:
    assert clean("evil\x1b[2J\n\tname\x07") == "evil�[2J name�"


@given(st.text(), st.integers(1, 40))
def test_shortened_text_fits_and_is_a_beginning(text: str, width: int) -> None:
    short = shorten(text, width)
    assert width_of(short) <= width
    assert text.startswith(short.removesuffix("…")) or short == text


def test_wide_characters_take_two_columns_and_combining_ones_none() -> None:
    assert width_of("学习") == 4
    assert width_of("e\N{COMBINING ACUTE ACCENT}") == 1
    assert shorten("学习率", 5) == "学习…"


def test_columns_are_aligned_whatever_colours_and_wide_characters_are_in_them() -> None:
    rows = [[Cell("学", "red"), Cell("a")], [Cell("long"), Cell("b")]]
    assert [click.unstyle(line) for line in format_table(rows)] == ["学    a", "long  b"]


def test_long_lines_break_between_words_and_keep_their_indent() -> None:
    text = "what happened\n  line 2: a-key is wrong\n/a/path/that/is/long"
    assert wrap(text, 16) == ["what happened", "  line 2: a-key", "  is wrong", "/a/path/that/is/long"]
    assert wrap(text, None) == text.splitlines()


def test_only_the_last_column_gives_way_to_a_narrow_terminal() -> None:
    rows = [[Cell("k7mq2xwp"), Cell("a reason that is long")]]
    assert format_table(rows, 20) == ["k7mq2xwp  a reason…"]
    assert format_table(rows, None) == ["k7mq2xwp  a reason that is long"]
    assert format_table(rows, 5) == ["k7mq2xwp  …"]
