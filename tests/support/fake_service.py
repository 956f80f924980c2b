"""A daemon's service without a daemon: jobs as values, wishes fulfilled at once or when a test says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from perdured.api.seam import Wish
from perdured.api.server import serve
from perdured.contract.sockets import bind_unix
from perdured.core.events import Event
from perdured.core.ledger import PARTS
from perdured.core.notices.notice import Notice, list_standing
from perdured.core.notices.status import SourceStatus
from perdured.core.planner import SavePlan, Tier
from perdured.core.spec import list_unserved
from perdured.errors import AmbiguousJob, NoSuchJob, WrongState
from perdured.notices.views import NoticesView, describe_notices
from perdured.queue_view import GpuView, GroupView
from perdured.state.registry import StoredEvent
from perdured.state.submission import Submission, parse_submission
from perdured.views import (
    AttemptView,
    CheckpointView,
    FleetView,
    JobView,
    LedgerView,
    NewestCheckpoint,
    SavingView,
    SubmittedView,
)

Answer = TypeVar("Answer")

SUBMITTED_AT = "2026-11-24T10:00:00.000Z"


def make_attempt(number: int = 1, **changes: object) -> AttemptView:
    """An attempt that runs."""
    usual = AttemptView(
        number=number,
        pid=1000 + number,
        started_at="2026-11-24T10:00:01.000Z",
        ended_at=None,
        exit_code=None,
        signal=None,
        cause=None,
        why=None,
        error=None,
        fingerprint=None,
        sender=None,
        advice=None,
        decision=None,
        step=None,
        traceback=[],
        output=[],
        kernel=[],
        resumed_from_step=None,
        not_saved=None,
    )
    return usual.model_copy(update=changes)


def make_ledger(**seconds: float) -> LedgerView:
    return LedgerView(**dict.fromkeys(PARTS, 0.0) | seconds, whole=sum(seconds.values()))


def make_job(id: str = "k7mq2xwp", name: str = "gpt", **changes: object) -> JobView:
    """A job that runs and has saved."""
    usual = JobView(
        schema_=1,
        id=id,
        name=name,
        state="running",
        reason="attempt 1 is running",
        step=1200,
        total=4000,
        loss=2.3134,
        restarts=0,
        attempts=[make_attempt()],
        checkpoint=NewestCheckpoint(
            step=1100, path="/runs/gpt/checkpoints/step-000000001100-000011", committed_at="2026-11-24T10:05:00.000Z"
        ),
        remote=None,
        goodput=0.97,
        ledger=make_ledger(useful=485.0, starting=5.0, loading=10.0),
        submitted_at=SUBMITTED_AT,
        ended_at=None,
        exit_status=None,
        workdir="/runs/gpt",
        checkpoint_dir="/runs/gpt/checkpoints",
        log=None,
        waiting_for=None,
        waiting_until=None,
    )
    return usual.model_copy(update=changes)


def make_checkpoint(step: int = 1100, **changes: object) -> CheckpointView:
    usual = CheckpointView(
        step=step,
        seq=11,
        path=f"/runs/gpt/checkpoints/step-{step:012d}-000011",
        committed_at="2026-11-24T10:05:00.000Z",
        bytes=1536 * 1024,
        healthy=True,
        tiers=["disk"],
        valid=True,
    )
    return usual.model_copy(update=changes)


def make_notice(id: str = "aws-1", **changes: object) -> Notice:
    """One that stands, two seconds after it was received."""
    usual = Notice(
        id=id,
        kind="reclaim",
        source="aws",
        why="AWS takes this spot instance back",
        deadline=1_795_514_400.0 + 118.0,
        sureness="exact",
        follows="power_off",
        received_at=1_795_514_400.0 - 2.0,
        boot_id="boot-1",
    )
    return usual.model_copy(update=changes)


class FakeBoard:
    """Of notices."""

    def __init__(self) -> None:
        self.statuses = [SourceStatus("folder", "works", "files in /notices"), SourceStatus("aws", "blind", "403")]
        self.notices: tuple[Notice, ...] = ()
        self.now = 1_795_514_400.0
        self.approved: list[str] = []

    async def approve(self, id: str) -> None:
        self.approved.append(id)

    def describe(self) -> NoticesView:
        return describe_notices(self.statuses, self.notices, list_standing(self.notices, "boot-1", self.now), self.now)


class FakeService:
    """Holds what tests put into it. All of it lives in one event loop; other threads go through `Served.call`."""

    def __init__(self, jobs: tuple[JobView, ...] = ()) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.board = FakeBoard()
        self.stored: list[StoredEvent] = []
        self.saved: dict[str, list[CheckpointView]] = {}
        self.logs: dict[str, list[tuple[int, Path]]] = {}
        self.submitted: list[Submission] = []
        self.asked: list[tuple[str, Wish]] = []
        self.after_asking: Callable[[JobView, Wish], JobView] = lambda job, _wish: job
        """What a wish makes of a job, at once."""
        self.save_takes = 1.0
        """Seconds: with less time none is begun."""
        self.gpus: list[GpuView] = []
        self.is_paused = False
        """The group `sweep`."""
        self.is_late = False
        """It is begun, and nothing comes of it."""
        self.failure: Exception | None = None
        """Raised by `submit`."""
        self.waiting = 0
        """How many wait for a change."""
        self._changed = asyncio.Event()

    async def submit_text(
        self, text: str, *, workdir: Path, env: Mapping[str, str], id: str | None = None
    ) -> SubmittedView:
        if id in self.jobs:
            return SubmittedView(**dict(self.jobs[id]), notes=[])
        submission = parse_submission(text, workdir=workdir, env=env)
        if self.failure is not None:
            raise self.failure
        self.submitted.append(submission)
        job = make_job(
            id or f"job{len(self.submitted):05d}", submission.spec.job_name, state="queued", reason="submitted"
        )
        self.put(job)
        self.tell(job.id, Event(kind="submitted", text="submitted"))
        return SubmittedView(**dict(job), notes=list_unserved(submission.spec))

    async def submit_array(
        self, text: str, *, workdir: Path, env: Mapping[str, str], array: str
    ) -> list[SubmittedView]:
        numbers = range(int(array))
        return [await self.submit_text(text, workdir=workdir, env=env, id=f"array{number:03d}") for number in numbers]

    def describe_fleet(self) -> FleetView:
        raise WrongState("This daemon has joined no other hosts.", "A test.", "Join.")

    @property
    def desk(self) -> FakeService:
        """The verbs on groups: there is one, `sweep`."""
        return self

    def list_groups(self) -> list[GroupView]:
        return [GroupView(name="sweep", paused=self.is_paused, running=2, waiting=7)]

    def pause_group(self, group: str) -> GroupView:
        return self._set_paused(group, is_paused=True)

    def resume_group(self, group: str) -> GroupView:
        return self._set_paused(group, is_paused=False)

    async def list_gpus(self) -> list[GpuView]:
        return self.gpus

    def clear_gpu(self, ref: str) -> GpuView:
        found = [gpu for gpu in self.gpus if gpu.uuid.startswith(ref) and gpu.state == "quarantined"]
        if len(found) != 1:
            raise WrongState(f"{ref!r} names no GPU in quarantine.", "None is.", "See all.")
        self.gpus = [found[0].model_copy(update={"state": "free", "why": None, "since": None})]
        return self.gpus[0]

    def _set_paused(self, group: str, *, is_paused: bool) -> GroupView:
        if group != "sweep":
            raise NoSuchJob(f"There is no group {group!r}.", "There are: sweep.", "Give a job one.")
        self.is_paused = is_paused
        return self.list_groups()[0]

    def list_jobs(self, *, everything: bool) -> list[JobView]:
        return [job for job in self.jobs.values() if everything or job.state != "succeeded"]

    def list_recent(self, seconds: float) -> list[JobView]:
        return list(self.jobs.values())

    def show(self, ref: str) -> JobView:
        fitting = [job for job in self.jobs.values() if ref == job.name or job.id.startswith(ref)]
        if len(fitting) > 1:
            raise AmbiguousJob(f'"{ref}" fits several jobs.', "They are two.", "Give more letters of the id.")
        if not fitting:
            raise NoSuchJob(
                f'There is no job "{ref}".', "No id, name or prefix of an id is like it.", "See all of them."
            )
        return fitting[0]

    async def ask(self, ref: str, wish: Wish) -> JobView:
        job = self.show(ref)
        if wish == "resume" and job.state == "succeeded":
            raise WrongState(f"Job {job.id} is done.", "It succeeded, so there is nothing to resume.", "Restart it.")
        self.asked.append((job.id, wish))
        if wish == "remove":
            return self.jobs.pop(job.id)
        changed = self.after_asking(job, wish)
        self.put(changed)
        self.tell(job.id, Event(kind="asked", text=f"asked to {wish}"))
        return job

    async def ask_save_before(self, ref: str, before: float) -> SavingView:
        tier: Tier | None = "disk" if before >= self.save_takes else None
        plan = SavePlan(tier=tier, sure_tier=tier, seconds=self.save_takes, left=before, why="as planned")
        job = self.show(ref) if tier is None or self.is_late else await self.ask(ref, "save")
        return SavingView(**dict(job), plan=plan)

    async def checkpoints(self, ref: str) -> list[CheckpointView]:
        return self.saved.get(self.show(ref).id, [])

    def events(self, after: int, ref: str | None = None) -> list[StoredEvent]:
        id = self.show(ref).id if ref is not None else None
        return [each for each in self.stored if each.seq > after and id in (None, each.job)]

    async def wait_for_change(self, after: int) -> int:
        self.waiting += 1
        try:
            while len(self.stored) <= after:
                await self._changed.wait()
        finally:
            self.waiting -= 1
        return len(self.stored)

    def log_files(self, ref: str) -> list[tuple[int, Path]]:
        return self.logs.get(self.show(ref).id, [])

    def put(self, job: JobView) -> None:
        self.jobs[job.id] = job

    def tell(self, job: str, event: Event) -> None:
        """Wakes whoever waits for an event."""
        self.stored.append(StoredEvent(len(self.stored) + 1, 1_795_514_400.0 + len(self.stored), job, event))
        self._changed.set()
        self._changed = asyncio.Event()


class Served:
    """A service behind a real socket, in a thread with a loop of its own."""

    def __init__(self, service: FakeService, socket_path: Path) -> None:
        self.service = service
        self.socket_path = socket_path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="served")
        self._serving: asyncio.Task[None] | None = None
        self._is_closed = False

    def call(self, function: Callable[[FakeService], Answer]) -> Answer:
        """`function(service)` inside the loop."""

        async def inside() -> Answer:
            return function(self.service)

        return asyncio.run_coroutine_threadsafe(inside(), self._loop).result(timeout=10)

    def start(self) -> None:
        listening = bind_unix(self.socket_path)
        self._serving = self._loop.create_task(serve(self.service, self.service.board, listening))
        self._thread.start()

    def close(self) -> None:
        if not self._is_closed and self._serving is not None:
            self._is_closed = True
            self._loop.call_soon_threadsafe(self._serving.cancel)
            self._thread.join(timeout=10)
            assert not self._thread.is_alive(), "the server did not end when it was told to"
            self._loop.close()

    def _run(self) -> None:
        assert self._serving is not None
        self._loop.run_until_complete(asyncio.gather(self._serving, return_exceptions=True))


@contextmanager
def serving(service: FakeService, socket_path: Path) -> Iterator[Served]:
    served = Served(service, socket_path)
    served.start()
    try:
        yield served
    finally:
        served.close()
