"""The real daemon, its service, loops, registry and files, on a machine that is a model: its clock, its processes and
the disks of its jobs.

| real | here |
|---|---|
| asyncio's loop | the same one, on the model's clock: nothing waits, time passes in `Machine.pass_time` |
| threads | what would run in one runs at once |
| keepers, leaders, their directories, checkpoints | a `World` for each job (`support.world`), which checks its rules |
| SIGKILL of the daemon | after any of its effects: what it has written stays, nothing else follows |

Everything between the two is what runs in `perdured`.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any, TypeVar
from unittest.mock import patch

from perdured.core.actions import Launch
from perdured.core.ends.cause import Cause
from perdured.core.events import Event
from perdured.core.observation import Absent, AttemptSeen, CheckpointSeen, Refused, Unverifiable, Vitals
from perdured.core.queue.amounts import UNLIMITED
from perdured.core.queue.machine import ENDLESS
from perdured.core.record import JobRecord
from perdured.core.spec import Spec
from perdured.disks import Disks
from perdured.processes import KeeperStatus, Order, Resumed
from perdured.processes.launch import Started
from perdured.processes.link import Holder
from perdured.state import beside
from perdured.state.paths import StateDir
from perdured.state.registry import Registry, open_registry
from perdured.state.submission import Submission
from perdured.supervise import effects, loop, observe, service
from perdured.supervise.ground import Ground, Prepared, Survey
from perdured.supervise.job import Job
from perdured.supervise.service import Service
from perdured.views import SubmittedView
from support.clockwork import Clockwork, at_once
from support.jobs import NOW
from support.simulation import check_change
from support.world import Script, World

SHM = Path("/dev/shm")
T = TypeVar("T")
CPUS = 3
PLACE = ENDLESS._replace(has=UNLIMITED._replace(cpus=CPUS))
FULL = Refused(why="the disk is full", permanent=False, cause=Cause.DISK_FULL)


class Killed(BaseException):
    """What a daemon that was killed would still have done."""


class Link:
    """To the keeper of an attempt."""

    def __init__(self, machine: Machine, world: World, number: int, tell: Callable[[KeeperStatus], None]) -> None:
        self.holder = Holder(world.attempts[number].pid, None)
        self.tell, self.told = tell, machine.describe(world, number)
        self._machine, self._world, self._number = machine, world, number

    def ask_stop(self, reason: str, grace: float) -> None:
        self._machine.check_alive()
        record = self._world.record
        assert record is not None
        assert record.phase.kind == "saving", "nothing is told to end before that is recorded"
        if self._world.attempts[self._number].has_keeper:
            self._world.stop(self._number, reason)
        self._machine.reach()

    def ask_status(self) -> None:
        """It tells at each change as it is."""

    def ask_save(self, before: float | None = None) -> None:
        self._machine.check_alive()

    def close(self) -> None:
        """Nobody is told any more."""


class Machine:
    """With one daemon after the other."""

    def __init__(self, root: Path) -> None:
        self.now = NOW
        self.state = StateDir(root / "state")
        self.state.jobs.mkdir(parents=True)
        self.worlds: dict[str, World] = {}
        self.is_full = False
        """No disk takes a file."""
        self.is_registry_full = False
        self.is_blind = False
        """Nothing can be read of any attempt."""
        self.kill_in: int | None = None
        """After so many more effects the daemon is killed."""
        self.is_dead = True
        self.breaches: list[BaseException] = []
        """Of the world's rules, and whatever else went wrong in a step: the daemon goes on, the test does not."""
        self._links: dict[tuple[str, int], tuple[Link, Callable[[], None]]] = {}

    # The daemon's life -------------------------------------------------------------------------------------------

    def start_daemon(self) -> None:
        self.is_dead, self.kill_in = False, None
        self.loop = Clockwork(lambda: self.now)
        self.loop.set_exception_handler(self._note_failure)
        self.registry, aside = open_registry(self.state.registry)
        assert aside is None
        self.registry.mark_complete()
        self._count_writes(self.registry)
        self.service = self._run(self._make_service())
        self.do(self.service.start())

    async def _make_service(self) -> Service:
        return Service(self.state, self.registry, lambda: self.now, PLACE)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def kill_daemon(self) -> None:
        """What it was about to do is not done."""
        self.is_dead = True
        self._bury()

    def _bury(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.settle()
        self.loop.close()
        self.registry.close()
        self._links.clear()
        for world in self.worlds.values():
            world.drop_posts()

    def submit(self, job: str, spec: Spec, scripts: Sequence[Script]) -> SubmittedView | None:
        """As `do`."""
        work = self.state.root.parent / job
        work.mkdir(exist_ok=True)
        self.worlds[job] = World(list(scripts), spec, now=self.now, record=None)
        return self.do(self.service.submit(Submission(spec, {"PATH": "/bin"}, str(work)), job))

    def list_told(self, job: str) -> list[str]:
        """The texts of its events."""
        return [event.event.text for event in self.registry.load_events(0, job)]

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T | None:
        """What comes of it, once all has come to rest that follows from it; None if the daemon died meanwhile."""
        task = self.loop.create_task(coroutine)
        self.settle()
        if self.is_dead:
            return task.result() if task.done() and not task.cancelled() and task.exception() is None else None
        return task.result()

    def settle(self) -> None:
        if self.is_dead:
            return
        self.loop.settle()
        while self._spread_news() and not self.is_dead:
            self.loop.settle()
        if self.breaches:
            raise self.breaches[0]
        if self.is_dead:
            self._bury()

    def _note_failure(self, _: object, context: dict[str, Any]) -> None:
        """Of a callback, or of a task that nobody waits for."""
        error = context.get("exception")
        if error is not None and not isinstance(error, Killed):
            self.breaches.append(error)

    def note_logged(self, text: str, *arguments: object) -> None:
        """A step failed, and would be tried again."""
        error = sys.exc_info()[1]
        if isinstance(error, OperationalError) and self.is_registry_full:
            return
        self.breaches.append(error if error is not None else AssertionError(text % arguments))

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            times = [until, *self._next_events()]
            self.now = max(min(times), self.now + 1e-3)
            for world in self.worlds.values():
                world.advance(self.now)
            self.settle()

    def _next_events(self) -> Iterator[float]:
        timer = None if self.is_dead else self.loop.next_timer()
        events = [timer, *(world.next_event() for world in self.worlds.values())]
        yield from (max(when, self.now) for when in events if when is not None)

    def heal(self) -> None:
        """Nothing is in the daemon's way any more."""
        self.kill_in = None
        self.is_full = self.is_registry_full = self.is_blind = False

    # What the daemon does ----------------------------------------------------------------------------------------

    def check_alive(self) -> None:
        if self.is_dead:
            raise Killed

    def reach(self) -> None:
        """An effect was performed: the daemon may die after it."""
        if self.kill_in is not None:
            self.kill_in -= 1
            self.is_dead = self.is_dead or self.kill_in <= 0
        self.check_alive()

    def _count_writes(self, registry: Registry) -> None:
        for name in ("save_submission", "save_record", "save_events", "forget"):
            setattr(registry, name, self._counted(getattr(registry, name), getattr(self, f"_note_{name}", None)))

    def _counted(self, write: Callable[..., None], note: Callable[..., None] | None) -> Callable[..., None]:
        def counted(*arguments: Any) -> None:
            self.check_alive()
            if self.is_registry_full:
                raise OperationalError("database or disk is full")
            if note is not None:
                note(*arguments)
            write(*arguments)
            self.reach()

        return counted

    def _note_save_submission(self, _: Submission, record: JobRecord, *__: object) -> None:
        self.worlds[record.id].record = record

    def _note_save_record(self, record: JobRecord, *_: object) -> None:
        world = self.worlds[record.id]
        check_change(world, record.phase.kind)
        world.record = record

    def _note_forget(self, job: str) -> None:
        world = self.worlds[job]
        assert not world.list_living(), f"{job} is forgotten, and something of it lives"
        world.record = None

    def write_file(self, path: Path, content: bytes, mode: int = 0o600) -> None:
        self.check_alive()
        if self.is_full:
            raise OSError(ENOSPC, "no space left on device", str(path))
        path.write_bytes(content)
        self.reach()

    async def start_keeper(self, order: Order, early: object = None) -> Started:
        self.check_alive()
        world = self.worlds[order.job]
        record = world.record
        assert record is not None
        assert record.phase.kind == "starting", "nothing is started before that is recorded"
        assert record.attempts[-1].number == order.attempt, "nothing is started before that is recorded"
        world.take_post(order.attempt, record.suspects)
        self.check_room()
        self.reach()
        world.go(order.attempt)
        self.reach()
        return Started(stood_by=False, is_limited=True)

    def check_room(self) -> None:
        """What has a place fits, whatever has died; and nothing comes before what it comes after."""
        living = [world for world in self.worlds.values() if world.list_living()]
        taken = sum(world.spec.resources.cpus for world in living)
        assert taken <= CPUS, f"{taken} of {CPUS} CPUs are taken"
        for world in living:
            for other in world.spec.after:
                assert self.worlds[other].has_finished, f"it was to come after {other}, which has not succeeded"

    async def connect_keeper(
        self, directory: Path, on_status: Callable[[KeeperStatus], None], on_gone: Callable[[], None], epoch: int = 0
    ) -> Link:
        world, number = self._find(directory)
        attempt = world.attempts.get(number)
        if attempt is None or not (attempt.has_keeper and attempt.has_run):
            raise OSError("nobody answers")
        link = Link(self, world, number, on_status)
        self._links[directory.parent.parent.name, number] = (link, on_gone)
        on_status(link.told)
        return link

    def perform_clean(self, directory: Path) -> int:
        self.check_alive()
        world, number = self._find(directory)
        world.clean(number)
        self.reach()
        return 0

    def signal_orphan(self, directory: Path, _: int) -> bool:
        self.check_alive()
        world, number = self._find(directory)
        world.stop(number, "")
        self.reach()
        return True

    # What the daemon sees ----------------------------------------------------------------------------------------

    def observe_attempt(self, directory: Path) -> AttemptSeen:
        if directory.parent.parent.name not in self.worlds:
            return Absent()
        if self.is_blind:
            return Unverifiable(why="it cannot be read")
        world, number = self._find(directory)
        return world.see(number)

    def observe_resume(self, directory: Path) -> Resumed:
        world, number = self._find(directory)
        attempt = world.attempts.get(number)
        step = attempt.resumed_from if attempt is not None else None
        return Resumed(step, str(step) if step is not None else None)

    def observe_newest(self, root: Path, suspects: Sequence[str] = ()) -> CheckpointSeen | None:
        world = self.worlds.get(root.parent.name)
        steps = [step for step in world.saved if str(step) not in suspects] if world is not None else []
        return CheckpointSeen(step=max(steps), path=f"{max(steps)}", committed_at=self.now) if steps else None

    def prepare_ground(self, job: Job, launch: Launch, rivals: object = None) -> Prepared:
        self.check_alive()
        world = self.worlds[job.id]
        if self.is_full:
            return Prepared(FULL)
        if launch.step_over and all(str(step) in launch.step_over for step in world.saved):
            return Prepared(Refused(why="no checkpoint is left but those with which attempts died", permanent=True))
        self.reach()
        return Prepared(Ground(("true",), {}), (Event(kind="note", text="the ground is fit"),))

    def probe(self, submission: Submission, rivals: object = None) -> Refused | None:
        return FULL if self.is_full else None

    def survey(self, submission: Submission) -> Survey:
        return Survey(str(submission.checkpoint_dir), None, None)

    def describe(self, world: World, number: int) -> KeeperStatus:
        attempt, newest = world.attempts[number], max(world.saved, default=None)
        return KeeperStatus(
            leader_pid=attempt.pid,
            started_at=NOW,
            step=attempt.step if attempt.ticks else None,
            loss=None,
            total=None,
            checkpoint_step=newest,
            checkpoint_path=str(newest) if newest is not None else None,
            saving=False,
            stop_reason=attempt.stop_reason,
            exit=None,
        )

    def _spread_news(self) -> bool:
        """Keepers tell of every change, and hang up when they end. Returns whether there was any."""
        has_news = False
        for key, (link, on_gone) in list(self._links.items()):
            world, number = self.worlds[key[0]], key[1]
            if not world.attempts[number].has_keeper:
                del self._links[key]
                self.loop.call_soon(on_gone)
                has_news = True
            elif (status := self.describe(world, number)) != link.told:
                link.told = status
                self.loop.call_soon(link.tell, status)
                has_news = True
        return has_news

    def _find(self, directory: Path) -> tuple[World, int]:
        """Of an attempt's directory."""
        return self.worlds[directory.parent.parent.name], int(directory.name)


class NoLog:
    """A kernel's log that says nothing."""

    def read_telling_lines(self, _: float) -> tuple[str, ...]:
        return ()

    def close(self) -> None: ...


async def _touch_at_once(_: Disks, place: Path, look: Callable[[], T], within: float | None = None) -> T:
    return await at_once(look)


@contextmanager
def temporary_machine() -> Iterator[Machine]:
    """One on which daemons run until the end of the block."""
    with tempfile.TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as root:
        machine = Machine(Path(root))
        with on_machine(machine):
            try:
                yield machine
            finally:
                if not machine.is_dead:
                    machine.kill_daemon()


@contextmanager
def on_machine(machine: Machine) -> Iterator[None]:
    """The daemon's hands and eyes are the machine's until the end of the block."""
    replaced: list[tuple[object, str, object]] = [
        (asyncio, "to_thread", at_once),
        (Disks, "touch", _touch_at_once),
        (beside, "write_file", machine.write_file),
        (effects, "start_keeper", machine.start_keeper),
        (effects, "perform_clean", machine.perform_clean),
        (effects, "signal_orphan", machine.signal_orphan),
        (effects, "observe_attempt", machine.observe_attempt),
        (effects, "prepare_ground", machine.prepare_ground),
        (effects, "probe_storage", machine.probe),
        (effects, "has_descriptors", lambda: True),
        (loop, "observe_attempt", machine.observe_attempt),
        (loop, "connect_keeper", machine.connect_keeper),
        (loop, "observe_newest_checkpoint", machine.observe_newest),
        (loop, "examine", lambda *_: Vitals()),
        (loop, "KernelLog", NoLog),
        (loop, "add_evidence", lambda seen, *_: seen),
        (observe, "observe_attempt", machine.observe_attempt),
        (observe, "observe_resume", machine.observe_resume),
        (service, "survey_ground", machine.survey),
        (loop.Loop, "begin_to_scrub", lambda _: None),
        (loop._log, "exception", machine.note_logged),
    ]
    patches = [patch.object(owner, name, new) for owner, name, new in replaced]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()
