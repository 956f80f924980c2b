from __future__ import annotations

import pytest

from perdured.core.notices.times import parse_bare_utc, parse_http_date, parse_rfc3339


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2017-09-18T08:22:00Z", 1505722920.0),
        ("2017-09-18T08:22:00.5Z\n", 1505722920.5),
        ("2017-09-18T10:22:00+02:00", 1505722920.0),
        ("2017-09-18T03:52:00-04:30", 1505722920.0),
        ("2016-12-31T23:59:60Z", 1483228800.0),
    ],
)
def test_rfc3339(text: str, at: float) -> None:
    assert parse_rfc3339(text) == at


@pytest.mark.parametrize("text", ["", "soon", "2017-09-18", "2017-13-18T08:22:00Z", "2017-09-18T24:00:00Z", "<html>"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_rfc3339(text) is None
    assert parse_http_date(text) is None
    assert parse_bare_utc(text) is None


@pytest.mark.parametrize(
    ("text", "at"),
    [("Mon, 19 Sep 2016 18:29:47 GMT", 1474309787.0), ("21 Jan 2019 09:00:43 GMT", 1548061243.0)],
)
def test_dates_in_english_words(text: str, at: float) -> None:
    """Whatever the locale: AWS leaves the day of the week out."""
    assert parse_http_date(text) == at


def test_a_time_without_a_zone_is_utc_for_who_asked_so() -> None:
    assert parse_bare_utc("2017-09-18T08:22:00") == 1505722920.0
    assert parse_bare_utc("Unknown") is None
