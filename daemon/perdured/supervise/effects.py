"""Performs what was decided. The only place where the daemon acts on a job; each action is safe to perform twice."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from perdured.clock import Clock
from perdured.contract import environment
from perdured.core.actions import Action, Clean, Dump, Forget, GoOn, Launch, Look, Park, Probe, Save, Stop
from perdured.core.ends.cause import Cause
from perdured.core.ends.classify import STACKS_TITLE
from perdured.core.events import Event
from perdured.core.observation import GroundSeen, Orphaned, Refused
from perdured.descriptors import has_descriptors
from perdured.disks import Disks
from perdured.errors import PerdureError
from perdured.processes import (
    DirectoryInUse,
    Keepers,
    NoUnit,
    Order,
    Teller,
    dump_stacks,
    observe_attempt,
    perform_clean,
    sample_shape,
    signal_orphan,
    start_keeper,
)
from perdured.remote.tier import RemoteTier
from perdured.state.paths import StateDir
from perdured.state.registry import Registry

from .bringing import bring, find_route
from .giving_back import give_back
from .ground import Ground, Rivals, prepare_ground, probe_storage
from .job import Job
from .standbys import Standbys

LOOK_AGAIN = 2.0
"""Seconds between looks whether there are file descriptors again."""

UNLIMITED = "its memory is counted, and not limited: there is no cgroup with the memory controller for it here"

_log = logging.getLogger("perdured")

T = TypeVar("T")
Tell = Callable[[Job, Iterable[Event]], None]
FindRivals = Callable[[Job], Rivals]


class Reach(NamedTuple):
    """What the daemon acts on, besides processes."""

    state: StateDir
    registry: Registry
    disks: Disks
    tier: RemoteTier
    standbys: Standbys
    keepers: Keepers = "children"


class Effects:
    def __init__(self, reach: Reach, tell: Tell, clock: Clock, find_rivals: FindRivals) -> None:
        self._state, self._registry, self._disks, self._tier, self._standbys, self._keepers = reach
        self._tell = tell
        self._clock = clock
        self._find_rivals = find_rivals

    async def perform(self, job: Job, action: Action) -> None:
        match action:
            case Launch():
                await self._launch(job, action)
            case Probe():
                await self._probe(job)
            case Look():
                await self._look(job, action)
            case Dump():
                await self._dump(job, action)
            case Save() | Park() | GoOn():
                _tell_keeper(job, action)
            case Stop():
                self._stop(job, action)
            case Clean():
                await self._clean(job, action)
            case Forget():
                self._forget(job)

    async def _launch(self, job: Job, launch: Launch) -> None:
        """Starts the keeper, or leaves the reason why not in `job.refused` for the next decision."""
        job.refused, job.status, job.shape = None, None, None
        job.watches = {}  # the silence of the attempt before is not this one's
        try:
            await self._wait_for_descriptors(job)
            look = partial(self._touch, job, partial(prepare_ground, job, launch, self._find_rivals(job)))
            prepared, route = await look(), find_route(job, self._state)
            if route is not None:
                prepared = await bring(job, prepared, look, route, self._tier)
            self._tell(job, prepared.events)
            if isinstance(prepared.result, Refused):
                job.refused = prepared.result
                return
            await self._give_back(job, prepared.result)
            order = self._order(job, launch, prepared.result)
            if job.tenure is not None and order.leash is None:  # to fetch may have taken longer than the lease
                why = job.unleased or "its lease has just run out"
                job.refused = Refused(why=why, permanent=False, cause=Cause.REMOTE)
                return
            await self._start(job, launch, order)
        except DirectoryInUse as error:
            job.refused = Refused(why=error.why, permanent=False, cause=Cause.IN_USE)
        except NoUnit as error:
            job.refused = Refused(why=f"{error.what} {error.why} {error.todo}", permanent=False, cause=Cause.NO_UNIT)
        except PerdureError as error:
            job.refused = Refused(why=f"{error.what} {error.why}", permanent=False)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            job.refused = Refused(why=f"{error.strerror or error}{where}", permanent=False)

    async def _give_back(self, job: Job, ground: Ground) -> None:
        chosen = ground.env.get(environment.RESUME_FROM)
        if chosen is not None:
            self._tell(job, await self._touch(job, partial(give_back, job.submission, Path(chosen))))

    async def _start(self, job: Job, launch: Launch, order: Order) -> None:
        early = self._standbys.take(job)
        try:
            started = await start_keeper(order, early=early)
            if not started.is_limited and launch.is_first:
                self._tell(job, [Event(kind="note", text=UNLIMITED, attempt=order.attempt)])
            if started.stood_by:
                text = f"attempt {order.attempt} is the process that stood by"
                self._tell(job, [Event(kind="note", text=text, attempt=order.attempt)])
        finally:
            if early is not None:
                early.end()

    async def _probe(self, job: Job) -> None:
        fault = await self._touch(job, partial(probe_storage, job.submission, self._find_rivals(job)))
        job.ground = GroundSeen(at=self._clock(), fault=fault)
        job.wake.set()

    async def _wait_for_descriptors(self, job: Job) -> None:
        """Their lack is not the job's fault, and an attempt that fails for it would be counted as one."""
        if has_descriptors():
            return
        text = f"no file descriptors are left to start it with; waiting, looking every {LOOK_AGAIN:g} s"
        _log.warning("job %s: %s", job.id, text)
        self._tell(job, [Event(kind="waiting", text=text)])
        while not has_descriptors() and job.record.wish == "run":  # noqa: ASYNC110 - nobody tells of a closed one
            await asyncio.sleep(LOOK_AGAIN)

    async def _touch(self, job: Job, look: Callable[[], T]) -> T:
        return await self._disks.touch(job.submission.checkpoint_dir, look)

    def _order(self, job: Job, launch: Launch, ground: Ground) -> Order:
        stop = job.submission.spec.stop
        return Order(
            directory=self._state.attempt(job.id, launch.attempt),
            job=job.id,
            attempt=launch.attempt,
            argv=ground.argv,
            env=ground.env,
            workdir=job.submission.workdir,
            stop_signal=stop.signal_number,
            grace=stop.grace,
            checkpoint_dir=str(job.submission.checkpoint_dir),
            in_unit=self._keepers == "units",
            memory=job.submission.spec.resources.memory,
            leash=job.tenure.make_leash(stop.grace) if job.tenure is not None else None,
        )

    async def _look(self, job: Job, look: Look) -> None:
        teller = _teller_of(job)
        if look.with_stacks and teller is not None:
            job.shape = await asyncio.to_thread(sample_shape, self._state.attempt(job.id, look.attempt), teller)
        if job.link is not None:
            job.is_word_awaited = True
            job.link.ask_status()

    async def _dump(self, job: Job, dump: Dump) -> None:
        """Evidence is never a reason not to act."""
        directory, title = self._state.attempt(job.id, dump.attempt), f"{dump.why}; {STACKS_TITLE}"
        try:
            await asyncio.to_thread(dump_stacks, directory, title, _teller_of(job))
        except (OSError, ValueError) as error:
            _log.warning("job %s: the stacks could not be written: %s", job.id, error)

    def _stop(self, job: Job, stop: Stop) -> None:
        """A leader with a keeper is never signalled past it: the keeper alone holds the deadline. It will answer."""
        directory = self._state.attempt(job.id, stop.attempt)
        if job.link is not None:
            job.link.ask_stop(stop.reason, stop.grace)
        elif job.signalled != stop.attempt and isinstance(observe_attempt(directory), Orphaned):
            signal_orphan(directory, job.submission.spec.stop.signal_number)
            job.signalled = stop.attempt

    async def _clean(self, job: Job, clean: Clean) -> None:
        """Raises NotClean where something cannot be killed: then nothing is started, and it is tried again."""
        await asyncio.to_thread(perform_clean, self._state.attempt(job.id, clean.attempt))
        job.cleaned = clean.attempt
        job.wake.set()

    def _forget(self, job: Job) -> None:
        """The directory first: a registry that is made anew from the disk must not find the job again."""
        self._tier.forget(job.id)
        shutil.rmtree(self._state.job(job.id), ignore_errors=True)
        self._registry.forget(job.id)
        job.is_forgotten = True


def _tell_keeper(job: Job, action: Save | Park | GoOn) -> None:
    """It is decided anew when there is a keeper again."""
    if job.link is None:
        return
    match action:
        case Save(before=before):
            job.link.ask_save(before)
        case Park(before=before):
            job.link.ask_to_park(before)
        case GoOn():
            job.link.let_go_on()


def _teller_of(job: Job) -> Teller | None:
    return Teller(*job.status.stacks) if job.status is not None and job.status.stacks is not None else None


_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


def make_job_id() -> str:
    """Eight characters without look-alikes: short to type, and 31^8 of them."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(8))
