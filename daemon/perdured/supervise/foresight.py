"""What the notices that stand mean for every job: the answer of each, and the fence that keeps starts off.

The set of notices is replaced as a whole, whenever anything about it changes; what is not in it any more was withdrawn.
The fence is on the disk before a job is told anything, and stays until they are withdrawn or the machine was started
anew. While the end is near, the fence is written again every few seconds: whether a window was as long as promised can
only be told afterwards, by how long the machine was seen alive.

A daemon that was started again goes by the fence until it has heard of the notices themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from perdured.clock import Clock
from perdured.contract.deadline import Span
from perdured.core.notice_plan import Answer, Speeds, find_start_fence, join_pace, plan_notice, when_fence_falls
from perdured.core.notices.merging import Outlook, merge_notices
from perdured.core.notices.notice import Notice, list_standing
from perdured.core.windows import Life, Window, judge_window, learn
from perdured.keeper.identity import read_boot_id
from perdured.state.fence import Fence, load_fence, load_windows, remove_fence, save_fence, save_windows
from perdured.state.paths import StateDir

from .job import Job

ALIVE_EVERY = 2.0
"""Seconds between two signs of life, while the end is near."""

_log = logging.getLogger("perdured")


class Foresight:
    def __init__(self, state: StateDir, clock: Clock, wake_all: Callable[[], None]) -> None:
        self._state = state
        self._clock = clock
        self._wake_all = wake_all
        self._boot_id = read_boot_id()
        self._windows = load_windows(state)
        self._outlook = Outlook()
        self._watching: asyncio.Task[None] | None = None
        self._take_over(load_fence(state))

    def take(self, standing: Sequence[Notice]) -> None:
        """All notices that stand now."""
        before, self._outlook = self._outlook, merge_notices(standing)
        if before == self._outlook and (self._watching is not None or before.deciding is None):
            return
        gone = [notice for notice in before.notices if notice.is_ending and notice not in self._outlook.notices]
        passed = [notice for notice in gone if notice.deadline is not None and notice.deadline <= self._clock()]
        self._learn([Life(notice, self._clock()) for notice in passed])
        self._save_fence()
        self._wake_all()

    def find_answer(self, job: Job, upload: Span | None) -> Answer | None:
        """What is to be done about the notices with a job that runs."""
        status, spec = job.status, job.submission.spec
        is_mute = spec.checkpoint.pattern is None and status is not None and not status.can_park
        speeds = Speeds(
            pace=join_pace(status.pace if status is not None else None, job.record.pace),
            upload=upload,
            has_remote=spec.checkpoint.remote is not None,
            is_silent=is_mute and status is not None and status.step is None,
        )
        return plan_notice(self._outlook, speeds, self._windows, self._clock())

    def find_fence(self) -> str | None:
        """Why nothing may be started now."""
        return find_start_fence(self._outlook, self._windows, self._clock())

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def _take_over(self, fence: Fence | None) -> None:
        """What an earlier life of the daemon, or of the machine, has left."""
        if fence is None:
            return
        if fence.boot_id == self._boot_id:
            self._outlook = merge_notices(list_standing(fence.notices, self._boot_id, self._clock()))
        else:
            self._learn([Life(notice, fence.alive_at) for notice in fence.notices if notice.is_ending])
        if self._outlook.deciding is None:
            remove_fence(self._state)

    def _learn(self, lives: Sequence[Life]) -> None:
        judged = [window for window in map(judge_window, lives) if window is not None]
        if not judged:
            return
        for window in judged:
            _tell_if_broken(window)
        self._windows = learn(self._windows, judged)
        try:
            save_windows(self._state, self._windows)
        except OSError as error:
            _log.warning("what this notice has taught could not be kept: %s", error)

    def _save_fence(self) -> None:
        """A disk that refuses it is no reason not to act on a notice."""
        try:
            if self._outlook.deciding is None:
                remove_fence(self._state)
                return
            save_fence(self._state, Fence(boot_id=self._boot_id, alive_at=self._clock(), notices=self._outlook.notices))
        except OSError as error:
            _log.warning("the fence could not be written: %s", error)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch(), name="fence")

    async def _watch(self) -> None:
        while self._outlook.deciding is not None:
            falls_at = when_fence_falls(self._outlook, self._windows, self._clock())
            if falls_at is None:
                await asyncio.sleep(ALIVE_EVERY)
                await asyncio.to_thread(self._say_alive)
            else:
                await asyncio.sleep(min(falls_at - self._clock(), 60.0))

    def _say_alive(self) -> None:
        outlook = self._outlook
        fence = Fence(boot_id=self._boot_id, alive_at=self._clock(), notices=outlook.notices)
        if outlook.deciding is None:
            return
        try:
            save_fence(self._state, fence)
        except OSError:
            return
        if self._outlook.deciding is None:  # withdrawn meanwhile
            remove_fence(self._state)


def _tell_if_broken(window: Window) -> None:
    if window.share < 1.0:
        _log.warning(
            "a notice of %s promised %.0f s, and the machine was gone after %.0f s; its next ones are believed less",
            window.source,
            window.promised,
            window.kept,
        )
