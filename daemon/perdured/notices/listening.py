"""Listens to every source that is here, and hands on what the board makes of it.

A source that fails is looked at again later and is shown as blind meanwhile; it ends neither the others nor the daemon.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from perdured.clock import Clock
from perdured.core.notices.answer import Failed
from perdured.core.notices.notice import Notice
from perdured.core.notices.status import SourceStatus
from perdured.errors import BadUsage, PerdureError, WrongState
from perdured.keeper.identity import read_boot_id
from perdured.tasks import end_tasks

from .azure import Azure
from .board import Board
from .eyes import Eyes, Report, Source
from .finding import Here, Surroundings, find_sources
from .settings import NoticeSettings
from .views import NoticesView

AFTER_ERROR = 15.0

_log = logging.getLogger("perdured")


class Audience(Protocol):
    """Who acts on notices."""

    def take_notices(self, standing: Sequence[Notice]) -> None:
        """All that stand now; returns at once, and may be told the same again."""

    def is_safe(self) -> bool:
        """Whether every job has saved what it could, so that the end may come."""


class Listening:
    """Of one state directory, in one event loop."""

    def __init__(self, settings: NoticeSettings, around: Surroundings, root: Path, clock: Clock) -> None:
        """`root`: the state directory."""
        eyes = Eyes(clock, read_boot_id())
        self._settings = settings
        self._audience: Audience | None = None
        self._hearing: asyncio.Future[None] | None = None
        self._sources = find_sources(settings, around, Here(root / "notices", self._is_safe), eyes)
        self.board = Board(root / "notices.json", eyes)

    async def run(self, audience: Audience) -> None:
        """Until cancelled. `audience` is told what stands, once at the start and at each change."""
        self._audience = audience
        tasks = [
            asyncio.create_task(self._watch(source), name=f"notices {source.name}") for source in self._sources.here
        ]
        self.board.begin(self._sources.absent, audience.take_notices)
        try:
            await asyncio.gather(*tasks)
        finally:
            await end_tasks(tasks)
            self.board.close()

    def describe(self) -> NoticesView:
        return self.board.describe()

    async def approve(self, id: str) -> None:
        """Lets what a notice warns of begin now. Raises BadUsage, WrongState, PerdureError."""
        notice = next((notice for notice in self.board.standing if notice.id == id), None)
        if notice is None:
            raise BadUsage(f"No notice {id!r} stands.", "It may have been withdrawn.", "See `perdure notices`.")
        cloud = self._sources.cloud
        if notice.source != "azure" or not isinstance(cloud, Azure):
            why = f"It is of {notice.source}, which cannot be told to begin."
            raise WrongState(f"Notice {id} cannot be approved.", why, "Only an event of Azure can.")
        try:
            await cloud.approve(notice)
        except Failed as failed:
            raise PerdureError(f"Azure did not take the approval of {id}.", failed.why, "Try again.") from None

    def _is_safe(self) -> bool:
        return self._audience is not None and self._audience.is_safe()

    @property
    def signal(self) -> str | None:
        """The one by which whoever started us says that all this is about to end."""
        return None if self._settings.signal == "none" else self._settings.signal

    def ends_by(self, signal: str) -> bool:
        """Whether what stops the daemon ends all around it: a pod."""
        return self._sources.spoken.name == "kubernetes" and signal == "SIGTERM"

    def hear(self, signal: str) -> None:
        """A signal that says that all this ends."""
        self._hearing = asyncio.ensure_future(self._hear(signal))

    async def _hear(self, signal: str) -> None:
        """In a job of Slurm the controller knows when: it is asked now, and if it does not answer, it is guessed."""
        slurm = self._sources.slurm
        if slurm is None or not await slurm.look_now():
            self._sources.spoken.hear(signal)

    async def _watch(self, source: Source) -> None:
        while True:
            try:
                await source.watch(self.board.tell)
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - a fault in one source must not deafen the others
                _log.exception("notices: %s failed; looking again in %g s", source.name, AFTER_ERROR)
                status = SourceStatus(source.name, "blind", f"{type(error).__name__}: {error}")
                self.board.tell(Report(status))
            await asyncio.sleep(AFTER_ERROR)
