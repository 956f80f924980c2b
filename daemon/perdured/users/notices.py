"""Notices for all users: root's daemon listens to every source, and each deputy to root's daemon.

So a cloud is asked once, and what root is told by a signal or in a folder reaches everybody's jobs. What ends the
machine may begin (Azure asks for that) when the jobs of all have saved what they could. A deputy that is gone is not
waited for; its jobs run on, and nobody can ask them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from perdured.clock import Clock
from perdured.core.notices.notice import Notice
from perdured.core.notices.status import SourceStatus
from perdured.errors import WrongState
from perdured.keeper.identity import read_boot_id
from perdured.notices.board import Board
from perdured.notices.eyes import Eyes, Report
from perdured.notices.listening import Audience
from perdured.notices.views import NoticesView

LOOK_EVERY = 0.5
"""Seconds between two looks of a deputy whether its jobs have saved, while a notice stands."""


class RelayedNotices:
    """A deputy's board: what root's daemon was told. It stands in the place of `Listening`."""

    signal: str | None = None

    def __init__(self, root: Path, clock: Clock) -> None:
        """`root`: the state directory."""
        self.board = Board(root / "notices.json", Eyes(clock, read_boot_id()))

    async def run(self, audience: Audience) -> None:
        """Until cancelled."""
        self.board.begin((), audience.take_notices)
        try:
            await asyncio.Event().wait()
        finally:
            self.board.close()

    def describe(self) -> NoticesView:
        return self.board.describe()

    async def approve(self, id: str) -> None:
        why = "What it ends is the machine of all its users."
        raise WrongState(f"Notice {id} cannot be approved by you.", why, "Only root can.")

    def ends_by(self, signal: str) -> bool:  # noqa: ARG002 - root's daemon ends by them
        return False

    def hear(self, signal: str) -> None:
        """They are sent to root's daemon."""

    def take(self, message: Mapping[str, Any]) -> bool:
        """Whether any stands."""
        for report in parse_reports(message):
            self.board.tell(report)
        return bool(self.board.standing)


class Everybody:
    """Root's daemon and all deputies as one audience."""

    def __init__(self, own: Audience, on_change: Callable[[], None]) -> None:
        self._own = own
        self._on_change = on_change
        self._unsafe: set[int] = set()

    def take_notices(self, standing: Sequence[Notice]) -> None:
        self._own.take_notices(standing)
        self._on_change()

    def is_safe(self) -> bool:
        return self._own.is_safe() and not self._unsafe

    def hear(self, uid: int, *, is_safe: bool) -> None:
        """Of a deputy; one that has gone is as safe as it will be."""
        (self._unsafe.discard if is_safe else self._unsafe.add)(uid)


def describe_reports(reports: Sequence[Report]) -> dict[str, object]:
    told = [
        {"status": list(each.status), "notices": [n.model_dump(mode="json", exclude={"raw"}) for n in each.notices]}
        for each in reports
    ]
    return {"reports": told}


def parse_reports(message: Mapping[str, Any]) -> list[Report]:
    return [
        Report(SourceStatus(*each["status"]), tuple(map(Notice.model_validate, each["notices"])), is_whole=True)
        for each in message["reports"]
    ]
