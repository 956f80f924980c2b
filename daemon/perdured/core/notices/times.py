"""Times as metadata services write them, in seconds since the epoch. Pure, and the same under every locale.

None where the text is no time: some services leave such a text standing instead of an answer.
"""

from __future__ import annotations

import re
from calendar import timegm

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))")
_WORDS = re.compile(r"(?:[A-Z][a-z]{2}, )?(\d{1,2}) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT")
_BARE = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)")


def parse_rfc3339(text: str) -> float | None:
    """ "2017-09-18T08:22:00Z", "2026-11-25T12:00:00.5+01:00"."""
    match = _RFC3339.fullmatch(text.strip())
    if match is None:
        return None
    *whole, fraction, sign, hours, minutes = match.groups()
    at = _count(*map(int, whole))
    if at is None:
        return None
    offset = (int(hours) * 3600 + int(minutes) * 60) * (1 if sign == "+" else -1) if sign else 0
    return at + float(fraction or 0) - offset


def parse_http_date(text: str) -> float | None:
    """ "Mon, 19 Sep 2016 18:29:47 GMT", or without the day of the week: "21 Jan 2019 09:00:43 GMT"."""
    match = _WORDS.fullmatch(text.strip())
    if match is None or match.group(2) not in _MONTHS:
        return None
    day, month, year, *clock = match.groups()
    return _count(int(year), _MONTHS.index(month) + 1, int(day), *map(int, clock))


def parse_bare_utc(text: str) -> float | None:
    """ "2026-11-25T12:00:00", which whoever asked knows to be in UTC."""
    match = _BARE.fullmatch(text.strip())
    return _count(*map(int, match.groups())) if match is not None else None


def _count(*parts: int) -> float | None:
    """None for what no calendar or clock has. A leap second is taken."""
    year, month, day, hour, minute, second = parts
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    return float(timegm(parts))
