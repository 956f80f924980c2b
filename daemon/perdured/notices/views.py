"""How sources and notices are shown, in the API and in `--json`."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pydantic import Field

from perdured.clock import format_time
from perdured.core.notices.merging import merge_notices, say_outlook
from perdured.core.notices.notice import Notice
from perdured.core.notices.status import SourceStatus
from perdured.views import View


class SourceView(View):
    source: str
    state: str
    """"works", "starting", "blind" or "not_here"."""
    why: str


class NoticeView(View):
    id: str
    kind: str
    source: str
    why: str
    deadline: str | None
    sureness: str
    follows: str
    disk: str
    withdrawable: bool
    lasts: float | None
    received_at: str
    withdrawn_at: str | None
    boot_id: str
    stands: bool
    """Not withdrawn, of this boot, and its time has not long passed."""
    raw: str


class NoticesView(View):
    schema_: int = Field(1, alias="schema")
    deadline: str | None
    """The hardest of those that stand; null while nothing is going to be ended."""
    outlook: str
    """What they say together, in words."""
    sources: list[SourceView]
    notices: list[NoticeView]
    """Those that stand no more too, the oldest first."""


def describe_notices(
    statuses: Iterable[SourceStatus], notices: Iterable[Notice], standing: Collection[Notice], now: float
) -> NoticesView:
    outlook = merge_notices(standing)
    return NoticesView(
        schema_=1,
        deadline=format_time(outlook.deadline),
        outlook=say_outlook(outlook, now),
        sources=[_describe_source(status) for status in statuses],
        notices=[_describe(notice, stands=notice in standing) for notice in notices],
    )


def _describe_source(status: SourceStatus) -> SourceView:
    return SourceView(source=status.source, state=status.state, why=status.why)


def _describe(notice: Notice, *, stands: bool) -> NoticeView:
    return NoticeView(
        **{
            name: getattr(notice, name)
            for name in ("id", "kind", "source", "why", "sureness", "follows", "disk", "raw")
        },
        withdrawable=notice.withdrawable,
        lasts=notice.lasts,
        boot_id=notice.boot_id,
        deadline=format_time(notice.deadline),
        received_at=format_time(notice.received_at) or "",
        withdrawn_at=format_time(notice.withdrawn_at),
        stands=stands,
    )
