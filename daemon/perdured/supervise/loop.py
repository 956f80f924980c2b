"""The loop of each job: observe, decide, record, act, publish; then sleep until something says "look again".

Rules. (1) Level-triggered: a wake-up carries no news, the decision is made from what is seen. (2) Persist before act:
the record is in the registry before the first action of its decision; between the two there is no await. (3) A job's
loop has one step in flight at a time, so a slow step (hashing a large checkpoint) holds up that job alone.
(4) A disk that hangs holds up the jobs that need it (`perdured.disks`), and of those none that runs and does not write
its own files. (5) Nothing is killed because of a bookkeeping failure: when the registry cannot be written, nothing is
decided, the job goes on, and the loop looks again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from perdured.clock import Clock
from perdured.core.actions import Launch
from perdured.core.decide import Decision, decide
from perdured.core.events import Event
from perdured.core.observation import AttemptSeen, CheckpointSeen, Ended, Held, Lost, Observation, Vitals
from perdured.core.queue.machine import Machine
from perdured.core.record import HAS_STARTED, JobRecord, Wish
from perdured.disks import Disks
from perdured.errors import DiskSilent
from perdured.processes import Keepers, KeeperStatus, KernelLog, NotOurs, Surveyor, connect_keeper, observe_attempt
from perdured.remote.tier import RemoteTier
from perdured.state.beside import save_rest
from perdured.state.paths import StateDir
from perdured.state.registry import Registry
from perdured.tasks import end_tasks

from .bringing import find_route
from .effects import Effects, Reach
from .evidence import add_evidence
from .foresight import Foresight
from .gpus import Gpus
from .ground import Rivals
from .intake import Intake
from .job import Job
from .journal import Journal
from .kept import let_go_of_memory, look_after_memory
from .observe import observe, observe_newest_checkpoint
from .queue import Queue
from .scrubber import Scrubber
from .standbys import Standbys
from .tenure import Tenure
from .vitals import examine

RECHECK = 1.0
"""Seconds until a keeper that holds its lock but does not answer is tried again."""
AFTER_ERROR = 5.0
SILENT = 10.0
"""Seconds after which the disk of a running attempt is not waited for."""
BETWEEN_PAST = 0.005
"""Seconds between two jobs that rested already when the daemon started."""
RECONCILE = 30.0
"""Seconds: the safety net under the wake-ups. Nothing on the fast path waits for it."""

_log = logging.getLogger("perdured")


class Fellowship(Protocol):
    """The hosts that this one has joined."""

    def make_tenure(self, job: Job) -> Tenure | None:
        """None for a job that no other host could go on with."""

    def wake(self) -> None:
        """What a job is about has changed."""


class Loop:
    """Tends every job of one state directory."""

    def __init__(
        self,
        state: StateDir,
        registry: Registry,
        clock: Clock,
        disks: Disks,
        machine: Machine,
        keepers: Keepers = "children",
    ) -> None:
        self.jobs: dict[str, Job] = {}
        self.queue = Queue(self.jobs, machine, clock)
        self.gpus = Gpus(state, self.queue, clock)
        self.journal = Journal(registry, clock)
        self._state = state
        self._registry = registry
        self._clock = clock
        self._disks = disks
        self.remote = RemoteTier(self._tell_of_remote, clock, disks)
        self._standbys = Standbys(state, clock, keepers, self.queue.find_unpromised_memory)
        reach = Reach(state, registry, disks, self.remote, self._standbys, keepers)
        self._effects = Effects(reach, self.journal.tell, clock, self._find_rivals)
        self._intake = Intake(clock, disks, self._look_for_checkpoints)
        self._kernel_log = KernelLog()
        self._scrubber = Scrubber(state, self.jobs, self.journal, clock, disks)
        self._scrubbing: asyncio.Task[None] | None = None
        self._looking_back: asyncio.Task[None] | None = None
        self._surveyor = Surveyor()
        self.foresight = Foresight(state, clock, self._wake_all)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.fleet: Fellowship | None = None
        """None where this host has joined no others."""

    def begin_to_scrub(self) -> None:
        """From now on checkpoints are verified in the background."""
        self._scrubbing = asyncio.create_task(self._scrubber.run(), name="scrubber")

    def add(self, job: Job) -> None:
        """Begins to tend a job that the registry knows."""
        self.keep(job)
        self._begin(job)

    def keep(self, job: Job) -> None:
        """It is known, and tended once somebody wishes something of it, or `look_back` has come to it."""
        self.jobs[job.id] = job
        if self.fleet is not None:
            job.tenure = self.fleet.make_tenure(job)
        self.queue.note(job)

    def look_back(self, jobs: Sequence[Job], agree: Callable[[Job], None]) -> None:
        """From now on these, which are at rest, are seen to, one after the other: there may be thousands, and neither
        what is alive nor who asks shall wait for them."""
        self._looking_back = asyncio.create_task(self._look_back(jobs, agree), name="past")

    async def _look_back(self, jobs: Sequence[Job], agree: Callable[[Job], None]) -> None:
        for job in jobs:
            if job.id in self.jobs:
                agree(job)
                self._begin(job)
            await asyncio.sleep(BETWEEN_PAST)

    def _begin(self, job: Job) -> None:
        if job.id not in self._tasks and job.id in self.jobs:
            self._tasks[job.id] = asyncio.create_task(self._tend(job), name=f"job {job.id}")

    async def close(self) -> None:
        """Stops tending. Jobs go on: their keepers hold them."""
        others = [task for task in (self._scrubbing, self._looking_back) if task is not None]
        await end_tasks([*self._tasks.values(), *others])
        await self._standbys.close()
        await self.foresight.close()
        await self.remote.close()
        self.gpus.close()
        for job in self.jobs.values():
            if job.link is not None:
                job.link.close()
            let_go_of_memory(job)
        self._intake.close()
        self._kernel_log.close()

    def observe(self, job: Job) -> Observation:
        seen = observe(job, self._state)
        answer = self.foresight.find_answer(job, self.remote.find_upload_span(job.id))
        told = {"answer": answer, "fence": self.foresight.find_fence(), "turn": self.queue.find_turn(job.id)}
        told["unleased"] = job.unleased
        return seen.model_copy(update=told)

    def _wake_all(self) -> None:
        for job in self.jobs.values():
            job.wake.set()

    def wish(self, job: Job, wish: Wish, event: Event) -> None:
        """Records what a user asks for; durable when it returns."""
        self._save(job, job.record.but(wish=wish), (event,))
        job.wish_on_return = None
        self._begin(job)
        job.wake.set()

    def _find_rivals(self, job: Job) -> Rivals:
        """Of two that start at once the keepers' lock lets one through."""
        others = (other for other in self.jobs.values() if other is not job)
        running = (other for other in others if other.record.phase.kind in HAS_STARTED)
        return {f"job {other.id} ({other.record.name})": other.submission.checkpoint_dir for other in running}

    async def _tend(self, job: Job) -> None:
        while not job.is_forgotten:
            job.wake.clear()
            try:
                if job.wish_on_return is not None:
                    self.wish(job, job.wish_on_return, Event(kind="asked", text="the daemon is back: going on"))
                wake_at = await self._settle(job)
            except asyncio.CancelledError:
                raise
            except Exception:  # noqa: BLE001 - the one broad catch: a fault in one job's step must not end the others
                _log.exception("job %s: this step failed; looking again in %g s", job.id, AFTER_ERROR)
                wake_at = self._clock() + AFTER_ERROR
            if not job.is_forgotten:
                await self._sleep(job, wake_at)
        self._intake.forget(job)
        self._standbys.forget(job)
        let_go_of_memory(job)
        self.jobs.pop(job.id, None)
        self.queue.forget(job.id)
        self._tasks.pop(job.id, None)

    async def _settle(self, job: Job) -> float | None:
        """Decides and acts until nothing more follows; returns when to look again."""
        silent: int | None = None
        while not job.is_forgotten:
            if silent is None or silent != job.number:  # a keeper that is silent is asked once in a step: it takes time
                silent = None if await self._connect(job) else job.number
            seen = await self._look(job)
            before = job.record
            seen = seen.model_copy(update={"turn": self.queue.take_turn(job.id)})
            decision = decide(job.submission.spec, before, seen, self._clock())
            await self._carry_out(job, decision)
            if decision.record == before:
                recheck_at = self._clock() + RECHECK if silent is not None else None
                standby_at = await self._standbys.look(job)
                kept_until = look_after_memory(job, self._clock())
                return _earliest(decision.wake_at, recheck_at, self._intake.look_again_at(job), standby_at, kept_until)
        return None

    async def _look(self, job: Job) -> Observation:
        """The attempt first, then the checkpoints: what it committed before its end is never missed."""
        seen = self.observe(job)
        job.is_newest_stale |= job.is_under_way and not isinstance(seen.attempt, Held)
        await self._refresh_checkpoints(job, seen.attempt)
        attempt = seen.attempt
        if isinstance(attempt, Ended | Lost):
            directory, read = job.attempt_dir(self._state), self._kernel_log.read_telling_lines
            attempt = await asyncio.to_thread(add_evidence, attempt, directory, self._clock(), read)
        vitals = Vitals()
        if job.link is not None:
            vitals = await asyncio.to_thread(examine, job, self._state, self._surveyor)
        return seen.model_copy(update={"checkpoint": job.newest, "attempt": attempt, "vitals": vitals})

    async def _carry_out(self, job: Job, decision: Decision) -> None:
        if decision.record != job.record or decision.events:
            self._save(job, decision.record, decision.events)
        for action in decision.actions:
            if isinstance(action, Launch):
                self.journal.tell(job, await self._intake.prepare_start(job, self._find_rivals(job)))
            await self._effects.perform(job, action)

    def _save(self, job: Job, record: JobRecord, events: Iterable[Event]) -> None:
        self.journal.save(record, [*events, *self.gpus.note_end(job.record, record)])
        self._save_rest(job, record)
        job.is_newest_stale |= record.suspects != job.record.suspects
        has_moved = record.phase.kind != job.record.phase.kind
        job.record = record
        self.queue.note(job)
        job.has_looked &= not record.is_resting
        if has_moved:
            self.look_at_remote(job)
            if self.fleet is not None:
                self.fleet.wake()

    def _save_rest(self, job: Job, record: JobRecord) -> None:
        """For a lost registry. The registry says so already; if this fails, the next start of the daemon mends it."""
        if record.is_resting or job.record.is_resting:
            try:
                save_rest(self._state, record)
            except OSError as error:
                _log.warning("job %s: %s could not be saved: %s", job.id, self._state.rest(job.id), error)

    async def _sleep(self, job: Job, wake_at: float | None) -> None:
        limit = RECONCILE if job.is_under_way else None
        if wake_at is not None:
            until = max(wake_at - self._clock(), 0.0)
            limit = min(until, limit) if limit is not None else until
        loop = asyncio.get_running_loop()
        timer = loop.call_later(limit, self._look_for_checkpoints, job) if limit is not None else None
        try:
            await job.wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _connect(self, job: Job) -> bool:
        """Connects to the keeper of the attempt under way; False when one is there and does not answer."""
        if not job.is_under_way or job.link is not None or job.refused is not None or job.number is None:
            return True
        directory = job.attempt_dir(self._state)
        job.distrust = None
        if not isinstance(observe_attempt(directory), Held):
            return True
        try:
            job.link = await connect_keeper(directory, partial(self._take_status, job), partial(self._lose_keeper, job))
        except NotOurs as error:
            job.distrust = str(error)
            return False
        except OSError:
            return False
        self.tell_leash(job)
        return True

    def tell_leash(self, job: Job) -> None:
        """Until when its attempt may run: then its keeper ends it, whether there is a daemon or not."""
        leash = job.tenure.make_leash(job.submission.spec.stop.grace) if job.tenure is not None else None
        if leash is not None and job.link is not None:
            job.link.hold_until(leash)

    def _take_status(self, job: Job, status: KeeperStatus) -> None:
        """Keeps the keeper's word, and looks again only when it could change a decision; a step alone does not."""
        before, job.status = job.status, status
        self._scrubber.note_saving(job)
        if before is None or before.checkpoint_path != status.checkpoint_path:
            job.is_newest_stale = True
        elif _tell_apart(before) == _tell_apart(status) and not job.is_word_awaited:
            return
        job.is_word_awaited = False
        job.wake.set()

    def _lose_keeper(self, job: Job) -> None:
        job.link = None
        job.is_newest_stale = True
        job.wake.set()

    async def _refresh_checkpoints(self, job: Job, attempt: AttemptSeen) -> None:
        """Reads the newest checkpoint again, where something said that there may be another."""
        if not job.is_newest_stale:
            return
        job.is_newest_stale = False
        before = job.newest
        try:
            job.root, job.newest = await self._read_checkpoints(job, attempt)
            self.look_at_remote(job)
        except DiskSilent as error:
            _log.warning("job %s: %s Its attempt goes on; looking again", job.id, error.what)
            job.is_newest_stale = True
        if job.newest is not None and job.is_under_way and (before is None or job.newest.step != before.step):
            self.journal.tell(
                job, [Event(kind="checkpoint", text=f"step {job.newest.step} is safe", step=job.newest.step)]
            )

    async def _read_checkpoints(self, job: Job, attempt: AttemptSeen) -> tuple[str, CheckpointSeen | None]:
        """While a keeper holds the attempt, a stop must get through, whatever its disk does; else nothing can follow
        but what needs the disk."""
        root, suspects = job.submission.checkpoint_dir, job.record.suspects
        await self._intake.take_in(job, attempt)
        look = partial(_find_newest, root, suspects)
        return await self._disks.touch(root, look, SILENT if job.link is not None else None)

    def look_at_remote(self, job: Job) -> None:
        """What the disk has is copied up, once an attempt has run: before that, the remote may be ahead."""
        route = find_route(job, self._state)
        if route is not None and route.term is not None and route.term.token == 0:
            return  # nothing may be copied without a lease
        if route is not None and any(attempt.pid is not None for attempt in job.record.attempts):
            is_told_to = job.record.wish in ("stop", "park", "remove") or job.record.phase.kind == "parked_in_place"
            is_parting = job.record.is_resting or is_told_to
            self.remote.look(route, is_parting=is_parting)

    def _tell_of_remote(self, job: str, events: Iterable[Event]) -> None:
        if job in self.jobs:
            self.journal.tell(self.jobs[job], events)

    def _look_for_checkpoints(self, job: Job) -> None:
        job.is_newest_stale = True
        job.wake.set()


def _tell_apart(status: KeeperStatus) -> tuple[object, ...]:
    """What another decision may follow from."""
    phase = status.pulse.phase if status.pulse is not None else None
    parking = (status.can_park, status.is_asked_to_park, status.parked)
    return (status.leader_pid, status.stop_reason, status.saving, phase, status.unhealthy, parking, status.memory)


def _find_newest(root: Path, suspects: Collection[str]) -> tuple[str, CheckpointSeen | None]:
    return os.path.realpath(root), observe_newest_checkpoint(root, suspects)


def _earliest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)
