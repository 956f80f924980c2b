"""A time is understood as people say it, or refused in three lines."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from perdured.cli.moment import parse_moment
from perdured.errors import BadUsage

ZONE = timezone(timedelta(hours=1))
NOW = datetime(2026, 11, 25, 21, 30, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("22:00", "2026-11-25T22:00:00+01:00"),
        ("21:30", "2026-11-26T21:30:00+01:00"),
        ("06:15", "2026-11-26T06:15:00+01:00"),
        ("2026-12-01 06:15", "2026-12-01T06:15:00+01:00"),
        ("2026-12-01", "2026-12-01T00:00:00+01:00"),
        ("2026-12-01T06:15:00Z", "2026-12-01T06:15:00+00:00"),
        ("+2h", "2026-11-25T23:30:00+01:00"),
        (" +90min ", "2026-11-25T23:00:00+01:00"),
    ],
)
def test_a_time_is_read_as_people_mean_it(text: str, meant: str) -> None:
    assert parse_moment(text, NOW).isoformat() == meant


@pytest.mark.parametrize("text", ["", "soon", "25:00", "+", "+1", "2026-13-01", "+100000000d", "-2h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadUsage, match="is no time"):
        parse_moment(text, NOW)
