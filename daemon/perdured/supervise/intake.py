"""When the own files of programs are taken in: at every look that something asked for, and before every launch.

A job's files are looked for as long as the daemon knows the job, whether an attempt is under way or not: what was
written while no daemon lived, or just before an end, is in the store before the next start. The watch is a wake-up and
no more; it is set again at each look, since the folder may be made, or made anew, long after the start. Until it is
there, its nearest parent is watched. All that touches the disk runs in threads.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from perdured.clock import Clock
from perdured.core.events import Event
from perdured.core.observation import Absent, AttemptSeen, Ended, Lost
from perdured.disks import Disks
from perdured.watching import Watcher

from .foreign import ForeignFiles, Moved
from .ground import Rivals, find_fault
from .job import Job


class Intake:
    """The own files of every job that has a pattern."""

    def __init__(self, clock: Clock, disks: Disks, on_change: Callable[[Job], None]) -> None:
        self._clock = clock
        self._disks = disks
        self._on_change = on_change
        self._watcher = Watcher()
        self._files: dict[str, ForeignFiles] = {}
        self._watched: dict[str, tuple[Path, int]] = {}

    async def take_in(self, job: Job, attempt: AttemptSeen) -> None:
        """Commits what is finished."""
        files = self._find_files(job)
        if files is not None:
            number, is_over = job.number or 0, _is_over(attempt)
            await self._watch(job, files)
            look = partial(files.commit_new_ones, number, self._clock(), is_over=is_over)
            await self._disks.touch(job.submission.checkpoint_dir, look)

    async def prepare_start(self, job: Job, rivals: Rivals) -> tuple[Event, ...]:
        """Where nobody writes, what is finished is committed, and what is broken is set aside."""
        files = self._find_files(job)
        if files is None:
            return ()
        root = job.submission.checkpoint_dir
        if await self._disks.touch(root, partial(find_fault, job.submission, rivals)) is not None:
            return ()  # no start follows; and whoever writes there may have his own files in the same place
        look = partial(files.commit_new_ones, job.number or 0, self._clock(), is_over=True)
        await self._disks.touch(root, look)
        moved = await self._disks.touch(files.directory, files.set_broken_ones_aside)
        return tuple(_describe(each) for each in moved)

    def look_again_at(self, job: Job) -> float | None:
        files = self._files.get(job.id)
        return files.look_again_at if files is not None else None

    def forget(self, job: Job) -> None:
        self._files.pop(job.id, None)
        self._watched.pop(job.id, None)
        self._watcher.unwatch(job.id)

    def close(self) -> None:
        self._watcher.close()

    def _find_files(self, job: Job) -> ForeignFiles | None:
        spec = job.submission.spec
        if spec.checkpoint.pattern is not None and job.id not in self._files:
            not_before = job.record.submitted_at if spec.fresh_start else 0.0
            self._files[job.id] = ForeignFiles(job.submission, job.id, not_before)
        return self._files.get(job.id)

    async def _watch(self, job: Job, files: ForeignFiles) -> None:
        place = await self._disks.touch(files.directory, partial(find_nearest_folder, files.directory))
        if place is None or self._watched.get(job.id) == place:
            return
        loop = asyncio.get_running_loop()

        def look() -> None:
            loop.call_soon_threadsafe(self._on_change, job)

        if await self._disks.touch(place[0], partial(self._watcher.watch, place[0], look, job.id)):
            self._watched[job.id] = place
            self._on_change(job)  # what was made before the watch was set told nobody


def find_nearest_folder(directory: Path) -> tuple[Path, int] | None:
    """The folder, or the nearest of its parents that is there; and its inode, another when it is made anew."""
    for folder in (directory, *directory.parents):
        try:
            if folder.is_dir():
                return folder, os.stat(folder).st_ino
        except OSError:
            continue
    return None


def _is_over(attempt: AttemptSeen) -> bool:
    return isinstance(attempt, Absent) or (isinstance(attempt, Ended | Lost) and attempt.is_clean)


def _describe(moved: Moved) -> Event:
    text = f"{moved.path} is broken ({moved.why}) and is kept as {moved.target}"
    return Event(kind="quarantined", text=text)
