"""The remote tier from the daemon's side: copies up what is new, one job at a time, and fetches before a start.

It is level-triggered like the jobs' loops. A look at a job's disk says what the remote lacks (`tiers.list_behind`);
whose turn it is says `uploads.decide_turn`; a carrier does it; then the disk is looked at again. All that is durable is
the remote itself and the carrier's record of it, so the daemon may be killed at any point: its carrier ends with it,
and the next daemon looks anew.

A job's uploads go on after its end, until the remote has its newest checkpoint: `perdure show` says that one is
pending. While a start looks at the remote the job's own upload rests, since the two would write one record; what it
had sent is not sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from perdured.clock import Clock
from perdured.contract.deadline import Span
from perdured.core.events import Event
from perdured.core.tiers import Look, RemoteTrouble, list_behind
from perdured.core.units import human_size
from perdured.core.uploads import decide_turn, is_hopeless, note_behind, note_failure, note_success, note_turn
from perdured.disks import Disks
from perdured.errors import DiskSilent
from perdured.tasks import wait_at_most
from perdured.views import RemoteView

from .local import list_local
from .orders import Done, Failed, Moved, Moving, Note, Report
from .record import RemoteRecord, load_record
from .running import Run
from .status import Route, Status, describe_status
from .times import REMEMBERED, load_times, save_times

Tell = Callable[[str, Iterable[Event]], None]
_AFTER_ERROR = 5.0
SILENT = 10.0
"""Seconds that the disk of one job may hold up the copies of the others. It is looked at again with its next word."""
_log = logging.getLogger("perdured")


class RemoteTier:
    """Tends the remotes of all jobs of one state directory."""

    def __init__(self, tell: Tell, clock: Clock, disks: Disks) -> None:
        self._tell = tell
        self._clock = clock
        self._disks = disks
        self.on_look: Callable[[], None] | None = None
        """Called when it was looked what is left to copy."""
        self._known: dict[str, Status] = {}
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._uploading: tuple[str, Run, asyncio.Task[None]] | None = None

    def look(self, route: Route, *, is_parting: bool) -> None:
        """There may be something new on the disk. Parting: the job rests, or saves to come to rest."""
        status = self._take_up(route)
        status.is_stale, status.is_parting = True, is_parting
        if is_parting and self._uploading is not None and self._uploading[0] == route.job:
            self._uploading[1].hurry()
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._tend(), name="remote tier")

    def describe(self, route: Route, newest: int | None) -> RemoteView:
        """`newest` is the step of the disk's newest healthy checkpoint, which may be newer than our last look."""
        return describe_status(self._take_up(route), newest)

    def get_record(self, route: Route) -> RemoteRecord:
        """What the remote held when it was last seen."""
        return self._take_up(route).record

    def find_upload_span(self, job: str) -> Span | None:
        """What copying a checkpoint up has taken; None as long as none was."""
        return self._known[job].upload_span if job in self._known else None

    def has_copied(self, job: str) -> bool:
        """Whether nothing of it is left to copy up, as far as was looked."""
        status = self._known.get(job)
        return status is None or not (status.is_stale or status.is_busy or status.upload.behind is not None)

    def forget(self, job: str) -> None:
        self._known.pop(job, None)
        if self._uploading is not None and self._uploading[0] == job:
            self._uploading[2].cancel()

    async def wait_until_settled(self, jobs: Iterable[str], tries: int) -> bool:
        """Until nothing of these is left to copy up; False if something is, and it is no use to wait for it."""
        wanted = list(jobs)
        while True:
            known = [self._known[job] for job in wanted if job in self._known]
            pending = [each for each in known if each.is_stale or each.is_busy or each.upload.behind is not None]
            if all(is_hopeless(status.upload, tries) for status in pending):
                return not pending
            self._settled.clear()
            await self._settled.wait()

    async def close(self) -> None:
        tasks = [task for task in (self._task, self._uploading and self._uploading[2]) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Before a start ------------------------------------------------------------------------------------------

    async def fetch(self, route: Route, *, takes_over: bool, is_fresh: bool) -> Look:
        """Takes in what is newer there than on the disk. Cancelled, it leaves nothing half."""
        status = self._take_up(route)
        await self._leave_off(route.job)
        status.doing = "fetching"
        order = route.make_order("pull", takes_over=takes_over, is_fresh=is_fresh)
        try:
            result = await Run(order, route.env, lambda report: self._take(status, report)).perform()
        finally:
            self._finish(status)
        trouble = _as_trouble(result) if isinstance(result, Failed) else None
        status.upload = status.upload._replace(trouble=trouble)
        return Look(holds_any=isinstance(result, Done) and result.holds_any, trouble=trouble)

    async def _leave_off(self, job: str) -> None:
        if self._uploading is None or self._uploading[0] != job:
            return
        task = self._uploading[2]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    # Uploads -------------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        while True:
            try:
                await self._tend_once()
            except Exception:  # noqa: BLE001 - a fault in one job's step must not end the others' uploads
                _log.exception("the remote tier: this step failed; looking again in %g s", _AFTER_ERROR)
                await self._sleep(self._clock() + _AFTER_ERROR)

    async def _tend_once(self) -> None:
        self._wake.clear()
        await self._look_at_disks()
        idle = {job: status.upload for job, status in self._known.items() if not status.is_busy}
        turn = decide_turn(idle, self._clock())
        if turn.job is not None:
            await self._take_turn(self._known[turn.job])
        else:
            await self._sleep(turn.wake_at)

    async def _sleep(self, wake_at: float | None) -> None:
        limit = None if wake_at is None else max(wake_at - self._clock(), 0.0)
        await wait_at_most(self._wake, limit)

    async def _look_at_disks(self) -> None:
        for status in [status for status in self._known.values() if status.is_stale]:
            status.is_stale = False
            try:
                local = await self._disks.touch(status.route.root, partial(list_local, status.route.root), SILENT)
            except (OSError, DiskSilent) as error:
                _log.warning("%s cannot be listed: %s", status.route.root, error)
                continue
            remote = [each.held for each in status.record.checkpoints]
            behind = next(iter(list_behind((each.held for each in local), remote)), None)
            status.upload = note_behind(status.upload, behind, is_parting=status.is_parting)
        self._settled.set()
        if self.on_look is not None:
            self.on_look()

    async def _take_turn(self, status: Status) -> None:
        """A task of its own, so that it can be left off while the others go on."""
        route = status.route
        order = route.make_order("push")
        if status.is_parting:
            order = order.model_copy(update={"limit": None})
        run = Run(order, route.env, lambda report: self._take(status, report))
        task = asyncio.create_task(self._upload(status, run), name=f"upload of {route.job}")
        self._uploading = (route.job, run, task)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            self._uploading = None
        if not task.cancelled() and task.exception() is not None:
            _log.error("job %s: its upload failed", route.job, exc_info=task.exception())
            status.upload = note_failure(status.upload, route.job, None, self._clock())

    async def _upload(self, status: Status, run: Run) -> None:
        status.upload, status.doing = note_turn(status.upload, self._clock()), "uploading"
        status.moving_since = self._clock()
        before = status.upload.behind
        try:
            result = await run.perform()
        finally:
            self._finish(status)
        if isinstance(result, Failed):
            self._note_trouble(status, _as_trouble(result))
            return
        await self._look_at_disks()
        in_vain = status.upload.behind is not None and status.upload.behind == before
        status.upload = note_success(status.upload)
        if in_vain:
            status.upload = note_failure(status.upload, status.route.job, None, self._clock())

    def _note_trouble(self, status: Status, trouble: RemoteTrouble) -> None:
        """Told once, not at each try."""
        is_new = trouble != status.upload.trouble
        status.upload = note_failure(status.upload, status.route.job, trouble, self._clock())
        if is_new:
            self._tell(status.route.job, [Event(kind="remote", text=trouble.as_text)])

    # Both ----------------------------------------------------------------------------------------------------

    def _take_up(self, route: Route) -> Status:
        status = self._known.get(route.job)
        if status is None:
            record = load_record(route.record, route.url) or RemoteRecord()
            took = load_times(route.times, route.url)
            status = self._known[route.job] = Status(route, record, took=took)
        status.route = route  # its lease may be another one
        return status

    def _take(self, status: Status, report: Report) -> None:
        route, fetched = status.route, status.doing == "fetching"
        match report:
            case Moving():
                status.moving = report
            case Moved():
                size = human_size(report.size)
                text = f"step {report.step} {'was fetched from' if fetched else 'is in'} {route.url} ({size})"
                kind = "fetched" if fetched else "uploaded"
                if not fetched:
                    _note_upload(status, self._clock())
                self._tell(route.job, [Event(kind=kind, text=text, step=report.step)])
            case Note():
                self._tell(route.job, [Event(kind="note", text=report.text)])

    def _finish(self, status: Status) -> None:
        status.doing, status.moving, status.is_stale = None, None, True
        status.record = load_record(status.route.record, status.route.url) or status.record
        self._wake.set()


def _note_upload(status: Status, now: float) -> None:
    status.took = (*status.took, now - status.moving_since)[-REMEMBERED:]
    status.moving_since = now
    save_times(status.route.times, status.route.url, status.took)


def _as_trouble(failed: Failed) -> RemoteTrouble:
    return RemoteTrouble(what=failed.what, why=failed.why, todo=failed.todo, nature=failed.nature)
