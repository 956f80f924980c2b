"""The verbs: what users, the API, the spool and `perdure run` may ask of a state directory.

A verb returns when its effect is durable. Whatever takes longer (a stop, a restart) is a wish in the job's record,
and the job's loop fulfils it, also after a restart of the daemon.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from perdured.clock import Clock
from perdured.core.events import Event
from perdured.core.notices.notice import Notice
from perdured.core.planner import list_stages, plan_save, until_safe_point
from perdured.core.policy import wish_on_return
from perdured.core.queue.machine import ENDLESS, Machine
from perdured.core.record import JobRecord, Wish
from perdured.core.spec import list_unserved
from perdured.disks import Disks
from perdured.errors import WrongState
from perdured.fleet.posting import Posting
from perdured.processes import KeeperLink, Keepers
from perdured.queue_view import describe_queue
from perdured.remote.record import RemoteRecord
from perdured.remote.status import describe_tiers
from perdured.state.beside import save_beside, save_submission
from perdured.state.paths import StateDir
from perdured.state.registry import Registry, StoredEvent
from perdured.state.submission import Submission, parse_elements, parse_submission
from perdured.state.verified import load_verified
from perdured.views import (
    CheckpointView,
    FleetView,
    JobView,
    KeeperView,
    Place,
    SavingView,
    SubmittedView,
    describe_job,
    log_of,
)

from . import refusals
from .bringing import find_route
from .desk import Desk
from .effects import make_job_id
from .fleet import Fleet
from .ground import Survey, survey_ground
from .job import Job
from .loop import Loop
from .newcomer import Newcomer
from .observe import describe_checkpoints
from .references import find_job
from .tenure import Joined

_log = logging.getLogger("perdured")

Ask = Literal["stop", "resume", "restart", "park", "remove", "save", "hang"]

ANSWER_WITHIN = 10.0
"""Seconds that a disk may take to answer a verb; a sleeping one needs about as long to spin up."""

_WISHES: dict[str, Wish] = {
    "stop": "stop",
    "resume": "restart",
    "restart": "restart",
    "park": "park",
    "remove": "remove",
}


class Service:
    def __init__(
        self,
        state: StateDir,
        registry: Registry,
        clock: Clock,
        machine: Machine = ENDLESS,
        keepers: Keepers = "children",
    ) -> None:
        self._state = state
        self._registry = registry
        self._clock = clock
        self._disks = Disks()
        self._loop = Loop(state, registry, clock, self._disks, machine, keepers)
        self.desk = Desk(state, self._loop.queue, self._loop.gpus)
        self.fleet: Fleet | None = None
        """None where this host has joined no others."""

    async def start(self, *, resume_parked: bool = True) -> None:
        """Takes up every job that the registry knows. What was parked goes on: there is a daemon again."""
        self.desk.take_up()
        past = []
        for submission, record in self._registry.load_jobs():
            job = Job(submission, record)
            wish = wish_on_return(record)
            if wish != record.wish and (resume_parked or not record.is_resting):
                job.wish_on_return = wish
            if record.is_resting and record.wish == "run" and job.wish_on_return is None:
                self._loop.keep(job)
                past.append(job)
            else:
                self._loop.add(job)
                self._agree(job)
        self._loop.look_back(past[::-1], self._agree)
        self._loop.begin_to_scrub()

    def join(self, joined: Joined) -> Fleet:
        """With the other hosts that have joined. To be called before the start."""
        self.fleet = self._loop.fleet = Fleet(joined, self._loop, Newcomer(self._examine_newcomer, self._take_over))
        self._loop.remote.on_look = self.fleet.note_copying
        return self.fleet

    async def close(self) -> None:
        """Leaves the jobs to their keepers."""
        await self._loop.close()

    async def submit_text(
        self, text: str, *, workdir: Path, env: Mapping[str, str], id: str | None = None
    ) -> SubmittedView:
        """A new job of a spec's text; the same `id` again is the same job. Raises InvalidSubmission besides."""
        if id in self._loop.jobs:
            return self._describe_submitted(self._loop.jobs[id])
        read = partial(parse_submission, text, workdir=workdir, env=env)
        return await self.submit(await self._disks.touch(workdir, read, ANSWER_WITHIN), id)

    async def submit(self, submission: Submission, id: str | None = None) -> SubmittedView:
        """A new job: durable, with its environment, before it returns. Raises BadUsage where it could never run."""
        submission, survey = await self._examine(submission)
        self._refuse(submission, survey)  # from here on no await, or two could come to share them
        return self._accept(submission, survey, id)

    async def submit_array(
        self, text: str, *, workdir: Path, env: Mapping[str, str], array: str
    ) -> list[SubmittedView]:
        """A job for each number of the array; none where one of them is refused."""
        read = partial(parse_elements, text, workdir=workdir, env=env, array=array)
        elements = await self._disks.touch(workdir, read, ANSWER_WITHIN)
        examined = [await self._examine(each) for each in elements]
        for each in examined:
            self._refuse(*each)
        return [self._accept(*each, None) for each in examined]

    async def _examine(self, submission: Submission) -> tuple[Submission, Survey]:
        """What it takes time to know, and its `after` as ids, which stay right whatever else gets that name."""
        refusals.refuse_lacking_library(submission)
        await self._loop.gpus.wait_until_looked()
        self._loop.gpus.refuse_lacking(submission.spec.resources.gpus)
        self._loop.queue.refuse_too_large(submission.spec)
        after = tuple(self._find(ref).id for ref in submission.spec.after)
        submission = replace(submission, spec=submission.spec.model_copy(update={"after": after}))
        return submission, await self._survey(submission)

    async def _examine_newcomer(self, submission: Submission) -> None:
        """Raises PerdureError for what could not run here, or would only wait."""
        self._refuse(*await self._examine(submission))
        if self._loop.foresight.find_fence() is not None or self._loop.queue.has_waiting():
            raise WrongState("It is not taken over now.", "This machine goes, or other jobs wait here.", "Wait.")

    async def _take_over(self, submission: Submission, posting: Posting, event: Event) -> None:
        """A job of another host, under its own id."""
        submission, survey = await self._examine(submission)
        self._refuse(submission, survey)
        self._accept(submission, survey, posting.id, submitted_at=posting.submitted_at)
        self._loop.journal.tell(self._loop.jobs[posting.id], [event])

    def _refuse(self, submission: Submission, survey: Survey) -> None:
        refusals.refuse_shared_checkpoints(submission, survey, self._loop.jobs.values())
        refusals.refuse_unfit_ground(survey)
        refusals.refuse_leaving_predecessor(submission, self._loop.jobs)

    def _accept(
        self, submission: Submission, survey: Survey, id: str | None, submitted_at: float | None = None
    ) -> SubmittedView:
        at = self._clock() if submitted_at is None else submitted_at
        record = JobRecord(id=id or make_job_id(), name=submission.spec.job_name, submitted_at=at)
        events = [Event(kind="submitted", text="submitted")]
        events += [Event(kind="note", text=text) for text in list_unserved(submission.spec)]
        self._save_submission(submission, record, events)
        job = Job(submission, record, root=survey.root)
        self._loop.add(job)
        return self._describe_submitted(job)

    async def _survey(self, submission: Submission) -> Survey:
        return await self._disks.touch(submission.checkpoint_dir, partial(survey_ground, submission), ANSWER_WITHIN)

    def list_jobs(self, *, everything: bool) -> list[JobView]:
        """Oldest first; those at rest only if asked for, or if they failed or were stopped and wait for somebody."""
        jobs = [job for job in self._loop.jobs.values() if everything or job.record.phase.kind != "succeeded"]
        return [self._describe(job) for job in jobs]

    def list_recent(self, seconds: float) -> list[JobView]:
        """Those that do not rest, and those that came to rest within so many seconds."""
        since = self._clock() - seconds
        jobs = (job for job in self._loop.jobs.values() if not job.record.is_resting or _ended_after(job, since))
        return [self._describe(job) for job in jobs]

    def describe_fleet(self) -> FleetView:
        if self.fleet is None:
            why = "It runs without --join, and without `join` in its config."
            raise WrongState("This daemon has joined no other hosts.", why, "perdured --join s3://bucket/fleet")
        return self.fleet.describe()

    def show(self, ref: str) -> JobView:
        return self._describe(self._find(ref))

    async def ask(self, ref: str, wish: Ask) -> JobView:
        """What a user wants of a job; durable when it returns. Raises WrongState where it makes no sense."""
        job = self._find(ref)
        refusals.refuse_nonsense(job.record, wish)
        if wish == "remove":
            refusals.refuse_awaited(job, list(self._loop.queue.list_waiting_for(job.id)))
        if wish == "save":
            _find_saving_link(job).ask_save()
        elif wish == "hang":
            _find_measured_link(job).ask_hang()
            self._loop.journal.tell(job, [Event(kind="asked", text="asked to stand still, as a drill")])
        elif not _is_fulfilled(job.record, wish):
            if wish in ("resume", "restart") and job.record.is_resting:
                survey = await self._survey(job.submission)
                refusals.refuse_shared_checkpoints(job.submission, survey, self._loop.jobs.values())
            self._loop.wish(job, _WISHES[wish], Event(kind="asked", text=f"asked to {wish}"))
        return self._describe(job)

    async def ask_save_before(self, ref: str, before: float) -> SavingView:
        """A checkpoint that is durable before so many seconds are over, or none; and what will be done of it. Raises
        WrongState where it makes no sense."""
        job = self._find(ref)
        link = _find_saving_link(job)
        pace = job.status.pace if job.status is not None else None
        plan = plan_save(list_stages(pace), until_safe_point(pace), before)
        if plan.tier is not None:
            link.ask_save(before)
        self._loop.journal.tell(job, [Event(kind="asked", text=f"asked to save: {plan.why}")])
        return SavingView(**dict(self._describe(job)), plan=plan)

    def take_notices(self, standing: Sequence[Notice]) -> None:
        """Every notice that stands now; one that is not among them any more was withdrawn."""
        self._loop.foresight.take(standing)
        if self.fleet is not None:
            self.fleet.wake()

    def is_safe(self) -> bool:
        """Whether every job has saved what it could: the machine may go."""
        return not any(job.is_at_work for job in self._loop.jobs.values())

    def hurry(self, ref: str) -> None:
        """The grace is over now: whatever of the attempt still lives is killed."""
        link = self._find(ref).link
        if link is not None:
            link.ask_stop("stop", 0.0)

    async def ask_all_to_park(self, why: str) -> None:
        """Every job saves and waits for the next start of the daemon."""
        for job in self._loop.jobs.values():
            if not job.record.is_resting:
                self._loop.wish(job, "park", Event(kind="asked", text=f"{why}: asked to park"))

    def longest_grace(self) -> float:
        """Seconds: the longest that a job which does not rest now may take to save, once it is asked to."""
        return max(
            (j.submission.spec.stop.grace for j in self._loop.jobs.values() if not j.record.is_resting), default=0
        )

    def longest_copy(self) -> float:
        """Seconds that copying up may take when the machine goes down: as long as the job may take to save."""
        pending = (job for job in self._loop.jobs.values() if (view := self._describe(job).remote) and view.is_pending)
        return max((job.submission.spec.stop.grace for job in pending), default=0)

    async def end_others(self, but: str | None) -> None:
        """Every other job saves and ends; returns when they have."""
        others = [job for job in self._loop.jobs.values() if job.id != but]
        for job in others:
            if job.record.will_run:
                self._loop.wish(job, "stop", Event(kind="asked", text="asked to stop: another spec takes its place"))
        await self._wait_until_at_rest(others)

    async def wait_until_all_rest(self) -> None:
        await self._wait_until_at_rest(self._loop.jobs.values())

    async def _wait_until_at_rest(self, jobs: Collection[Job]) -> None:
        seen = 0
        while not all(job.record.is_resting for job in jobs):
            seen = await self.wait_for_change(seen)

    async def wait_until_uploaded(self, jobs: Collection[str] | None = None, tries: int = 5) -> bool:
        """Until their remotes have what their disks have (None: all jobs'); False if it is no use to wait longer."""
        return await self._loop.remote.wait_until_settled(self._loop.jobs if jobs is None else jobs, tries)

    async def checkpoints(self, ref: str) -> list[CheckpointView]:
        job = self._find(ref)
        root, route = job.submission.checkpoint_dir, find_route(job, self._state)
        look = partial(describe_checkpoints, root, load_verified(self._state, job.id))
        here = await self._disks.touch(root, look, ANSWER_WITHIN)
        there = self._loop.remote.get_record(route) if route is not None else RemoteRecord()
        return describe_tiers(here, there)

    def events(self, after: int, ref: str | None = None) -> list[StoredEvent]:
        return self._loop.journal.load_events(after, self._find(ref).id if ref is not None else None)

    def newest_event(self) -> int:
        return self._registry.last_event()

    async def wait_for_change(self, after: int) -> int:
        return await self._loop.journal.wait_for_change(after)

    def log_files(self, ref: str) -> list[tuple[int, Path]]:
        job = self._find(ref)
        files = [(a.number, self._state.output(job.id, a.number)) for a in job.record.attempts]
        return [(number, path) for number, path in files if path.exists()]

    def find_unfinished(self, submission: Submission) -> JobView | None:
        """The job of an equal spec and workdir that has not come to its end: `perdure run` goes on with it."""
        for job in reversed(self._loop.jobs.values()):
            same = (job.submission.spec, job.submission.workdir) == (submission.spec, submission.workdir)
            if same and job.record.phase.kind not in ("succeeded", "failed"):
                return self._describe(job)
        return None

    def renew_environment(self, ref: str, env: Mapping[str, str]) -> None:
        """Attempts that start from now on have this one."""
        job = self._find(ref)
        if job.submission.env == env:
            return
        submission = replace(job.submission, env=dict(env))
        save_submission(self._state, submission, job.record)
        self._registry.save_environment(job.id, submission.env)
        job.submission = submission

    def _find(self, ref: str) -> Job:
        return find_job(self._loop.jobs, ref)

    def _save_submission(self, submission: Submission, record: JobRecord, events: Iterable[Event]) -> None:
        self._loop.journal.save_submission(submission, record, events)
        try:
            save_beside(self._state, submission, record)
        except BaseException:
            self._registry.forget(record.id)
            raise

    def _agree(self, job: Job) -> None:
        try:
            save_beside(self._state, job.submission, job.record)
        except OSError as error:
            _log.warning("job %s: what lies beside the registry could not be brought up to date: %s", job.id, error)

    def _describe_submitted(self, job: Job) -> SubmittedView:
        return SubmittedView(**dict(self._describe(job)), notes=list_unserved(job.submission.spec))

    def _describe(self, job: Job) -> JobView:
        seen = self._loop.observe(job)
        log = log_of(self._state.output(job.id, job.number)) if job.number else None
        route = find_route(job, self._state)
        place = Place(
            workdir=job.submission.workdir,
            checkpoint_dir=str(job.submission.checkpoint_dir),
            log=log,
            queue=describe_queue(job.submission.spec, job.record, seen.turn),
            keeper=KeeperView(**job.link.holder._asdict()) if job.link is not None else None,
            lease=job.tenure.describe() if job.tenure is not None else None,
            remote=self._loop.remote.describe(route, job.newest.step if job.newest else None) if route else None,
        )
        return describe_job(job.record, seen, place, self._clock())


def _ended_after(job: Job, since: float) -> bool:
    return (job.record.ended_at or 0.0) >= since


def _find_saving_link(job: Job, to: str = "save") -> KeeperLink:
    if job.link is None or job.status is None or job.status.step is None:
        why = "Its script has not reported a step through `perdure`, or it is not running now."
        raise WrongState(f"Job {job.id} cannot be asked to {to}.", why, "`perdure show` says what it is doing.")
    return job.link


def _find_measured_link(job: Job) -> KeeperLink:
    """Of a job whose hang is going to be noticed."""
    link, what = _find_saving_link(job, "stand still"), f"Job {job.id} would stand still for ever."
    if job.status is None or job.status.pulse is None:
        raise WrongState(
            what, "Only the steps of `perdure.Run` are measured.", "This drill is for scripts that use it."
        )
    if job.submission.spec.health.hang_after == "never":
        raise WrongState(what, 'Its spec says `hang_after = "never"`.', "Submit it with another `hang_after`.")
    return link


def _is_fulfilled(record: JobRecord, wish: Ask) -> bool:
    """A parked job is not stopped yet: it would go on with the next start of the daemon."""
    return record.is_resting and (wish == "park" or (wish == "stop" and record.phase.kind != "parked"))
