"""What the routes need of the daemon. They hold no logic of their own: each asks one question and shapes the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Protocol, cast

from fastapi import Depends, Request

from perdured.notices.views import NoticesView
from perdured.queue_view import GpuView, GroupView
from perdured.state.registry import StoredEvent
from perdured.views import CheckpointView, FleetView, JobView, SavingView, SubmittedView

Wish = Literal["stop", "resume", "restart", "park", "remove", "save", "hang"]


class Desk(Protocol):
    """A name of no group raises NoSuchJob."""

    def list_groups(self) -> list[GroupView]: ...

    def pause_group(self, group: str) -> GroupView: ...

    def resume_group(self, group: str) -> GroupView: ...

    async def list_gpus(self) -> list[GpuView]: ...

    def clear_gpu(self, ref: str) -> GpuView: ...


class Service(Protocol):
    """A `ref` is a job's id, a unique prefix of it, or its name; a wrong one raises NoSuchJob or AmbiguousJob."""

    async def submit_text(self, text: str, *, workdir: Path, env: Mapping[str, str]) -> SubmittedView: ...

    async def submit_array(
        self, text: str, *, workdir: Path, env: Mapping[str, str], array: str
    ) -> list[SubmittedView]: ...

    @property
    def desk(self) -> Desk: ...

    def list_jobs(self, *, everything: bool) -> list[JobView]: ...

    def list_recent(self, seconds: float) -> list[JobView]: ...

    def describe_fleet(self) -> FleetView:
        """Raises WrongState where this host has joined no others."""
        ...

    def show(self, ref: str) -> JobView: ...

    async def ask(self, ref: str, wish: Wish) -> JobView: ...

    async def ask_save_before(self, ref: str, before: float) -> SavingView: ...

    async def checkpoints(self, ref: str) -> list[CheckpointView]: ...

    def events(self, after: int, ref: str | None = None) -> list[StoredEvent]: ...

    async def wait_for_change(self, after: int) -> int: ...

    def log_files(self, ref: str) -> list[tuple[int, Path]]: ...


class Notices(Protocol):
    def describe(self) -> NoticesView: ...

    async def approve(self, id: str) -> None: ...


def _get_service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


def _get_notices(request: Request) -> Notices:
    return cast(Notices, request.app.state.notices)


def _get_closing(request: Request) -> asyncio.Event:
    return cast(asyncio.Event, request.app.state.closing)


TheService = Annotated[Service, Depends(_get_service)]
TheNotices = Annotated[Notices, Depends(_get_notices)]
Closing = Annotated[asyncio.Event, Depends(_get_closing)]
"""Set when the server is about to close: whoever waits answers with what there is."""
