"""What Alibaba Cloud and Tencent Cloud say of a spot instance: one key, which holds the time of its end. Pure.

Nothing pending is a 404. Alibaba tells some five minutes ahead, Tencent two, whose time is Beijing's and does not say
so. How long before was read in their pages and not seen: so the deadline is the time that is told, and no more is made
of it.
"""

from __future__ import annotations

from collections.abc import Callable

from .answer import Answer, Failed, Look, cut_raw, expect_ok, shorten
from .notice import Notice, SourceName, make_notice_id
from .times import parse_bare_utc, parse_rfc3339

_BEIJING = 8 * 3600.0


def parse_alibaba(answer: Answer, look: Look) -> tuple[Notice, ...]:
    """`instance/spot/termination-time`."""
    return _parse("alibaba", "Alibaba Cloud", answer, look, parse_rfc3339)


def parse_tencent(answer: Answer, look: Look) -> tuple[Notice, ...]:
    """`spot/termination-time`."""
    return _parse("tencent", "Tencent Cloud", answer, look, _parse_beijing)


def _parse(
    source: SourceName, maker: str, answer: Answer, look: Look, parse_time: Callable[[str], float | None]
) -> tuple[Notice, ...]:
    if answer.status == 404:
        return ()
    text = expect_ok(answer).strip()
    at = parse_time(text)
    if at is None:
        raise Failed(f"the spot notice cannot be read: {shorten(text)}")
    notice = Notice(
        id=make_notice_id(source, "spot", text),
        kind="reclaim",
        source=source,
        why=f"{maker} takes this spot instance back",
        deadline=look.to_ours(at),
        sureness="exact",
        follows="power_off",
        disk="lost",
        received_at=look.at,
        boot_id=look.boot_id,
        raw=cut_raw(text),
    )
    return (notice,)


def _parse_beijing(text: str) -> float | None:
    """ "2018-08-18 12:05:33"."""
    at = parse_bare_utc(text.replace(" ", "T"))
    return at - _BEIJING if at is not None else None
