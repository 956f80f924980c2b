"""The standbys of all jobs: each is started, given to its job's next attempt, and ended, as `core/standby.py` decides.

A standby is never needed. Whatever goes wrong with one leaves the job as it would be without: what is said of it in
`perdure show` is all that follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from perdured.clock import Clock
from perdured.contract import durable, environment
from perdured.contract.headroom import observe_headroom
from perdured.contract.imports import MAX_BYTES, Imports, find_path, parse_imports
from perdured.core.quiet import is_quiet
from perdured.core.standby import (
    LOOK_AGAIN,
    SIZE,
    Program,
    StandbyDecision,
    StandbySeen,
    StandbyWord,
    State,
    decide_standby,
)
from perdured.errors import PerdureError
from perdured.processes import (
    Keepers,
    Standby,
    StandbyOrder,
    clear_standby,
    has_loaded,
    observe_cpus,
    observe_program,
    start_standby,
)
from perdured.state.paths import StateDir

from .job import Job

ENOUGH = 1 << 62
_LAUNCHER_IMPORTS = ("torch.distributed.run",)

_log = logging.getLogger("perdured")


@dataclass
class _Place:
    """What one job has of it."""

    standby: Standby | None = None
    order: StandbyOrder | None = None
    """Of the one that is there or being prepared, but for what it imports."""
    task: asyncio.Task[None] | None = None
    is_launcher: bool = False
    failed: dict[int, str] = field(default_factory=dict)
    """By attempt: why its try came to nothing."""
    useful: dict[int, bool] = field(default_factory=dict)
    is_cleared: bool = False
    """Of what an earlier life of the daemon may have left."""

    @property
    def state(self) -> State:
        if self.task is not None:
            return "preparing"
        return "ready" if self.standby is not None else "none"

    @property
    def is_there(self) -> bool:
        return self.state != "none"


class Standbys:
    def __init__(
        self,
        state: StateDir,
        clock: Clock,
        keepers: Keepers = "children",
        find_unpromised: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """`find_unpromised`: bytes of memory that no job has been promised."""
        self._state = state
        self._clock = clock
        self._keepers = keepers
        self._find_unpromised = find_unpromised
        self._places: dict[str, _Place] = {}

    async def look(self, job: Job) -> float | None:
        """Sees to it that the job has one where it shall; returns when to look again."""
        place = self._places.setdefault(job.id, _Place())
        try:
            await self._clear_once(job, place)
            decision = await self._decide(job, place)
            if decision.do == "look":
                useful = await asyncio.to_thread(self._is_useful, job)
                place.useful = {job.number or 0: useful}
                decision = await self._decide(job, place)
        except (PerdureError, OSError, ValueError) as error:
            decision = StandbyDecision("nothing", _say(error), self._clock() + LOOK_AGAIN)
        if decision.do == "end":
            self._end(place)
        elif decision.do == "start":
            place.task = asyncio.create_task(self._prepare(job, place, job.number or 0), name=f"standby {job.id}")
        job.standby = StandbyWord(place.state, decision.why)
        return decision.look_at

    def take(self, job: Job) -> Standby | None:
        """The one that stands ready for the attempt that starts now. One that does not is too late for it."""
        place = self._places.get(job.id, _Place())
        standby = place.standby if place.standby is not None and self._is_as_asked(job, place) else None
        if standby is not None:
            place.standby = None
        self._end(place)
        return standby if standby is not None and standby.is_alive else None

    def forget(self, job: Job) -> None:
        self._end(self._places.pop(job.id, _Place()))

    async def close(self) -> None:
        tasks = [place.task for place in self._places.values() if place.task is not None]
        for place in self._places.values():
            self._end(place)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _decide(self, job: Job, place: _Place) -> StandbyDecision:
        if place.standby is not None and not place.standby.is_alive:
            self._end(place)
        number, status = job.number or 0, job.status
        others = [other for other in self._places.values() if other is not place]
        seen = StandbySeen(
            phase=job.record.phase.kind,
            state=place.state,
            failed=place.failed.get(number),
            started_at=status.started_at if status is not None and job.link is not None else None,
            has_stepped=status is not None and status.step is not None,
            is_useful=place.useful.get(number),
            is_as_asked=self._is_as_asked(job, place),
            is_launcher=place.is_launcher,
            others_prepare=any(other.task is not None for other in others),
            available=await _observe_available() if self._needs_memory(job, place) else ENOUGH,
            unpromised=self._find_unpromised() - SIZE * sum(other.is_there for other in others),
            is_quiet=place.state != "none" or is_quiet(observe_cpus()),
        )
        return decide_standby(job.submission.spec, seen, self._clock())

    def _needs_memory(self, job: Job, place: _Place) -> bool:
        return place.state != "none" or place.useful.get(job.number or 0, False)

    def _is_as_asked(self, job: Job, place: _Place) -> bool:
        return place.order == self._base(job)

    def _base(self, job: Job) -> StandbyOrder:
        env = {k: v for k, v in job.submission.env.items() if k not in environment.ATTEMPT_VARIABLES}
        return StandbyOrder(
            directory=self._state.standby(job.id),
            job=job.id,
            argv=job.submission.spec.command,
            env=env,
            workdir=job.submission.workdir,
            preload=(),
            in_unit=self._keepers == "units",
            grace=job.submission.spec.stop.grace,
            memory=job.submission.spec.resources.memory,
        )

    def _order(self, job: Job, place: _Place) -> StandbyOrder:
        base, preload = self._base(job), job.submission.spec.standby.preload
        if place.is_launcher:
            return base._replace(preload=(*preload, *_LAUNCHER_IMPORTS))
        imports = self._load_imports(job)
        if imports is None:
            return base._replace(preload=preload)
        names = tuple(dict.fromkeys((*imports.modules, *preload)))
        environ = {k: v for k, v in imports.environ.items() if k not in environment.ATTEMPT_VARIABLES}
        return base._replace(preload=names, environ=environ)

    def _load_imports(self, job: Job) -> Imports | None:
        if job.status is None:
            return None
        with contextlib.suppress(OSError, ValueError):
            path = find_path(job.attempt_dir(self._state), job.status.leader_pid)
            return parse_imports(durable.load_json(path, MAX_BYTES))
        return None

    def _is_useful(self, job: Job) -> bool:
        preload, imports = job.submission.spec.standby.preload, self._load_imports(job)
        if imports is not None and (not preload or set(preload) & set(imports.modules)):
            return True
        return job.status is not None and has_loaded(job.status.leader_pid, preload)

    async def _clear_once(self, job: Job, place: _Place) -> None:
        directory = self._state.standby(job.id)
        if not place.is_cleared and directory.exists():
            await asyncio.to_thread(clear_standby, directory)
        place.is_cleared = True

    async def _prepare(self, job: Job, place: _Place, attempt: int) -> None:
        try:
            place.order = self._base(job)
            program = await asyncio.to_thread(observe_program, place.order)
            place.is_launcher = isinstance(program, Program) and program.is_launcher
            place.standby = await start_standby(await asyncio.to_thread(self._order, job, place))
        except (PerdureError, OSError, ValueError) as error:
            place.failed = {attempt: _say(error)}
            _log.info("job %s: no standby: %s", job.id, _say(error))
        finally:
            place.task = None
            job.wake.set()

    def _end(self, place: _Place) -> None:
        if place.task is not None:
            place.task.cancel()
        if place.standby is not None:
            place.standby.end()
        place.standby = None


async def _observe_available() -> int:
    found = await asyncio.to_thread(observe_headroom)
    return ENOUGH if found is None else found


def _say(error: Exception) -> str:
    return error.why if isinstance(error, PerdureError) else str(error)
