"""Verifies older checkpoints in the background, one at a time (`core.scrub` decides which), and remembers it.

A broken one goes to quarantine and is told; nothing is deleted. What could not be judged is left alone, and looked at
again a week later. The reading is a process's (`keeper.scrub`): it is held still while the job saves, and nobody waits
for it. No error here ends anything but this look.

A disk that hangs while it is read holds up the others' for as long as it is given (`processes.scrub`); then its job is
passed over until it answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from perdured.clock import Clock
from perdured.contract.checkpoint.store import list_checkpoints, quarantine
from perdured.core.events import Event
from perdured.core.scrub import LOOK_AGAIN, Candidate, decide_scrub, find_rest
from perdured.disks import Disks
from perdured.errors import DiskSilent
from perdured.processes import ScrubProcess, ScrubVerdict, start_scrub
from perdured.state.paths import StateDir
from perdured.state.verified import LookedAt, load_looks, save_looks

from .job import Job
from .journal import Journal

SILENT = 10.0
"""Seconds for a look at a directory; what does not answer has nothing to verify now."""

_log = logging.getLogger("perdured")


class Scrubber:
    def __init__(self, state: StateDir, jobs: Mapping[str, Job], journal: Journal, clock: Clock, disks: Disks) -> None:
        self._state = state
        self._jobs = jobs
        self._journal = journal
        self._clock = clock
        self._disks = disks
        self._rests_until = 0.0
        self._under_way: tuple[str, ScrubProcess] | None = None
        """The job, and the process that reads one of its checkpoints."""
        self._left: dict[str, ScrubProcess] = {}
        """By the job: what hangs in its disk."""

    async def run(self) -> None:
        """For ever; cancelled at the end."""
        while True:
            look_at = self._clock() + LOOK_AGAIN
            try:
                look_at = await self._look()
            except Exception:  # noqa: BLE001 - a fault in here must not end the daemon's other work
                _log.exception("a checkpoint could not be verified in the background")
            await asyncio.sleep(max(look_at - self._clock(), 0.0))

    def note_saving(self, job: Job) -> None:
        """Nothing is read beside a save of the same job."""
        if self._under_way is not None and self._under_way[0] == job.id:
            self._under_way[1].pause(is_paused=_is_saving(job))

    async def _look(self) -> float:
        """Verifies one, if one is due; returns when to look again."""
        candidates = [each for job in list(self._jobs.values()) for each in await self._list(job)]
        decided = decide_scrub(candidates, self._rests_until, self._clock())
        job = self._jobs.get(decided.candidate.job) if decided.candidate is not None else None
        if decided.candidate is None or job is None:
            return decided.look_at
        verdict = await self._verify(job, job.submission.checkpoint_dir / decided.candidate.name)
        await self._conclude(job, decided.candidate.name, verdict)
        self._rests_until = find_rest(self._clock(), verdict.seconds)
        return self._rests_until

    async def _list(self, job: Job) -> list[Candidate]:
        root, looks = job.submission.checkpoint_dir, load_looks(self._state, job.id)
        try:
            listing = await self._disks.touch(root, partial(list_checkpoints, root), SILENT)
        except (OSError, DiskSilent):
            return []
        return [
            Candidate(job.id, one.path.name, one.committed_at, look.at if look else None, self._is_busy(job))
            for one in listing
            for look in (looks.get(one.path.name),)
        ]

    def _is_busy(self, job: Job) -> bool:
        self._left = {id: process for id, process in self._left.items() if process.is_left}
        return job.id in self._left or _is_saving(job)

    async def _verify(self, job: Job, path: Path) -> ScrubVerdict:
        process = await start_scrub(path)
        self._under_way = (job.id, process)
        self.note_saving(job)
        try:
            verdict = await process.wait()
        finally:
            self._under_way = None
        if process.is_left:
            self._left[job.id] = process
            _log.warning("%s could not be verified: %s", path, verdict.why)
        return verdict

    async def _conclude(self, job: Job, name: str, verdict: ScrubVerdict) -> None:
        root = job.submission.checkpoint_dir
        path = root / name
        if verdict.is_unknown and job.id in self._left:
            return  # nor would its disk answer now
        if job.is_forgotten or not await self._disks.touch(root, path.exists, SILENT):  # retention was faster
            return
        if not verdict.is_valid and not verdict.is_unknown:
            await self._set_aside(job, path, verdict.why)
        await self._disks.touch(root, partial(self._remember, job, name, is_whole=verdict.is_valid), SILENT)

    async def _set_aside(self, job: Job, path: Path, why: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # somebody else has, or has dropped it
            moved = await self._disks.touch(path.parent, partial(quarantine, path, why), SILENT)
            text = f"{path.name} is broken ({why}), found while it was verified again, and is kept as {moved}"
            self._journal.tell(job, [Event(kind="quarantined", text=text)])
        job.is_newest_stale = True
        job.wake.set()

    def _remember(self, job: Job, name: str, *, is_whole: bool) -> None:
        """Of those that are still there."""
        there = {listed.path.name for listed in list_checkpoints(job.submission.checkpoint_dir)}
        looks = load_looks(self._state, job.id) | {name: LookedAt(self._clock(), is_whole)}
        save_looks(self._state, job.id, {known: look for known, look in looks.items() if known in there})


def _is_saving(job: Job) -> bool:
    return job.link is not None and job.status is not None and job.status.saving
