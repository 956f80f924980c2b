"""Listens to one source of notices as the board does, and waits for what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from perdured.clock import start_clock
from perdured.core.notices.notice import Notice
from perdured.notices.eyes import Eyes, Report, Source
from perdured.tasks import end_tasks

BOOT = "boot-1"


def make_eyes(haste: float = 50.0) -> Eyes:
    return Eyes(start_clock(), BOOT, haste)


class Ear:
    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._came = asyncio.Event()

    def tell(self, report: Report) -> None:
        self.reports.append(report)
        self._came.set()

    async def wait(self, wanted: Callable[[Report], bool], ceiling: float = 20.0) -> Report:
        """The next report that is `wanted`, or the last one so far."""
        return await asyncio.wait_for(self._wait(wanted), ceiling)

    async def _wait(self, wanted: Callable[[Report], bool]) -> Report:
        while not self.reports or not wanted(self.reports[-1]):
            self._came.clear()
            await self._came.wait()
        return self.reports[-1]

    async def wait_for_notice(self) -> Notice:
        (notice,) = (await self.wait(lambda report: len(report.notices) == 1)).notices
        return notice

    async def wait_for_state(self, state: str) -> str:
        """Why it is so."""
        return (await self.wait(lambda report: report.status.state == state)).status.why

    async def wait_for_silence(self) -> None:
        await self.wait(lambda report: not report.notices and report.is_whole)


@asynccontextmanager
async def listen(source: Source) -> AsyncIterator[Ear]:
    ear = Ear()
    watching = asyncio.create_task(source.watch(ear.tell))
    try:
        yield ear
    finally:
        await end_tasks([watching])
