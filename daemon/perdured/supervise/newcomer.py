"""A job of another host becomes one of this host: what it lacks here, and its submission under its own id."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from perdured.core.events import Event
from perdured.errors import PerdureError
from perdured.fleet.posting import Posting, find_lack, take_up
from perdured.state.submission import Submission

_log = logging.getLogger("perdured")

Examine = Callable[[Submission], Awaitable[None]]
Accept = Callable[[Submission, Posting, Event], Awaitable[None]]
CALM = 60.0
"""Seconds for which a job that could not be submitted here is not tried again."""


class Newcomer:
    def __init__(self, examine: Examine, accept: Accept) -> None:
        """`examine` raises PerdureError for what could not run here, `accept` makes it a job of this host."""
        self._examine = examine
        self._accept = accept
        self._reasons: dict[str, str] = {}
        self._not_before: dict[str, float] = {}

    async def is_fit(self, posting: Posting) -> bool:
        """Whether this host has what the job needs. Why not is told once."""
        loop = asyncio.get_running_loop()
        if self._not_before.get(posting.id, 0.0) > loop.time():
            return False
        taken = _take_up(posting)
        reason = await asyncio.to_thread(find_lack, posting, taken, os.path.isdir, _find_program)
        if reason is None:
            try:
                await self._examine(taken)
            except PerdureError as error:
                reason = f"{error.what} {error.why}"
        if reason is not None and reason != self._reasons.get(posting.id):
            _log.warning("%s (%s) is not taken over: %s", posting.id, posting.name, reason)
        self._note(posting.id, reason)
        return reason is None

    async def submit(self, posting: Posting) -> None:
        """Raises PerdureError."""
        text = "taken over: the host that had it is gone, or gave it back"
        try:
            await self._accept(_take_up(posting), posting, Event(kind="lease", text=text))
        except PerdureError as error:
            self._note(posting.id, f"{error.what} {error.why}")
            self._not_before[posting.id] = asyncio.get_running_loop().time() + CALM
            raise

    def find_reason(self, job: str) -> str | None:
        """Why it was not taken over."""
        return self._reasons.get(job)

    def _note(self, job: str, reason: str | None) -> None:
        if reason is None:
            self._reasons.pop(job, None)
        else:
            self._reasons[job] = reason


def _take_up(posting: Posting) -> Submission:
    return take_up(posting, os.environ, Path.home())


def _find_program(program: str, path: str) -> str | None:
    return shutil.which(program, path=path)
