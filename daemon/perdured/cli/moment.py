"""A time as people give it, made one that means the same everywhere. Pure but for the zone, which is that of `now`."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from perdured.core.units import parse_duration
from perdured.errors import BadUsage


def parse_moment(text: str, now: datetime) -> datetime:
    """ "22:00" is the next one there is; "2026-11-25 22:00" is of this zone unless it names one; "+2h" is from now."""
    given = text.strip()
    try:
        if given.startswith("+"):
            return now + timedelta(seconds=parse_duration(given[1:]))
        if "-" not in given:
            return _find_next(time.fromisoformat(given), now)
        moment = datetime.fromisoformat(given.replace("Z", "+00:00"))
    except (ValueError, OverflowError):
        right = 'Give a time such as "22:00", "2026-11-25 22:00" or "+2h".'
        raise BadUsage(f"--at {text!r} is no time.", "It cannot be read.", right) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=now.tzinfo)


def _find_next(clock: time, now: datetime) -> datetime:
    today = datetime.combine(now.date(), clock, tzinfo=clock.tzinfo or now.tzinfo)
    return today if today > now else today + timedelta(days=1)
