"""Keeps the leases of this host's jobs (`core/lease.py` has the rules), and knows those of all others in the bucket.

One round after another, and one at once when a job has moved: what each lease asks for is written, and it is looked
what is there. Level-triggered, like the loops of the jobs: what is to be done about a job is read off its record and
its lease, each time anew. What follows from the leases of others is in `succession.py`.

Where the bucket cannot be reached nothing is concluded: leases run out by the clock, and keepers end what they hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from perdured.clock import read_boottime
from perdured.core.lease import ROUNDS, Aim, Host, Move, Round, Seen
from perdured.core.lease_aim import Surroundings, decide_aim, say_why
from perdured.fleet.messenger import Messenger
from perdured.fleet.notes import Ask, Failed, Told, read_chains
from perdured.fleet.posting import Posting, make_posting
from perdured.remote.chain import format_lease, format_posting, parse_posting
from perdured.tasks import end_tasks, wait_at_most
from perdured.views import FleetJobView, FleetView

from .job import Job
from .loop import Loop
from .newcomer import Newcomer
from .succession import Strangers, Succession
from .tenure import Joined, Tenure

AFTER_ERROR = 5.0
PATIENCE_SHARE = 1 / 3
"""Of the time that a lease lasts, so long an answer is waited for."""
_LEAST_PAUSE = 0.1
"""Seconds between two rounds."""
_NOT_ANSWERED = "the bucket has not answered yet"

_log = logging.getLogger("perdured")


class _Wanted(NamedTuple):
    job: str
    tenure: Tenure
    aim: Aim
    why: str = ""


class _Plan(NamedTuple):
    ask: Ask
    moves: Mapping[str, Move]
    began: float


class Fleet:
    def __init__(self, joined: Joined, loop: Loop, newcomer: Newcomer) -> None:
        self._joined = joined
        self._loop = loop
        self._newcomer = newcomer
        self._messenger = Messenger(joined.url, joined.lasts * PATIENCE_SHARE)
        self._own: dict[str, Tenure] = {}
        """Of jobs that are this host's, or were and have been forgotten."""
        self._strangers = Strangers({}, {})
        self._succession = Succession(joined.host, loop, newcomer, self.wake)
        self._posted: set[str] = set()
        self._trouble: str | None = _NOT_ANSWERED
        self._has_kept = False
        """A lease is kept until the last checkpoint is copied."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def make_tenure(self, job: Job) -> Tenure | None:
        if not is_shared(job.submission.spec.checkpoint.remote, self._joined.url):
            return None
        tenure = self._strangers.tenures.pop(job.id, Tenure(self._joined, job.id))
        tenure.trouble = self._trouble
        self._own[job.id] = tenure
        return tenure

    def wake(self) -> None:
        self._wake.set()

    def note_copying(self) -> None:
        """What waits for its last copy may be given back now."""
        if self._has_kept:
            self._wake.set()

    def begin(self) -> None:
        self._task = asyncio.create_task(self._run(), name="fleet")

    async def leave(self) -> None:
        """What rests here may go on elsewhere at once. What runs keeps its lease, for the next daemon."""
        await self._end_task()
        await self._round()

    async def close(self) -> None:
        await self._end_task()
        await self._messenger.close()

    async def _end_task(self) -> None:
        if self._task is not None:
            await end_tasks([self._task])
            self._task = None

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._round()
                if self._trouble is None:
                    await self._succession.follow(self._strangers)
            except Exception:  # noqa: BLE001 - a fault in one round must not end the leases of all jobs
                _log.exception("the fleet: this round failed; the next one in %g s", AFTER_ERROR)
                await asyncio.sleep(min(AFTER_ERROR, self._joined.lasts / ROUNDS))
            await asyncio.sleep(_LEAST_PAUSE)
            await wait_at_most(self._wake, self._joined.lasts / ROUNDS)

    # A round -------------------------------------------------------------------------------------------------

    async def _round(self) -> None:
        plan = self._plan()
        answer = await self._messenger.ask(plan.ask)
        if isinstance(answer, Failed):
            self._note_trouble(answer.as_text)
            return
        try:
            chains = read_chains(answer.texts)
        except ValueError as error:
            self._note_trouble(f"{self._joined.url} holds a lease that no Perdure wrote: {error}")
            return
        if self._trouble is not None:
            self._wake.set()  # only now anything can be claimed
        self._note_trouble(None)
        self._take_in(plan, answer, chains)

    def _plan(self) -> _Plan:
        began, moves, ask = read_boottime(), {}, Ask()
        self._has_kept = False
        for wanted in self._list_wanted():
            self._has_kept |= wanted.aim == "keep"
            move = wanted.tenure.begin(wanted.aim, wanted.why)
            if move is not None:
                moves[wanted.job] = move
                writes = ask.create if move.is_claim else ask.put
                writes[format_lease(wanted.job, move.entry.token)] = move.entry.lease.model_dump_json()
        ask.create.update(self._list_new_postings())
        return _Plan(ask, moves, began)

    def _list_wanted(self) -> Iterator[_Wanted]:
        for id, tenure in self._own.items():
            job = self._loop.jobs.get(id)
            if job is None:
                yield _Wanted(id, tenure, "over", "removed")
            else:
                yield _Wanted(id, tenure, self._aim_at(job, tenure), say_why(job.record))
        for id, tenure in self._strangers.tenures.items():
            if id == self._succession.taking:
                yield _Wanted(id, tenure, "hold")
            elif tenure.is_valid:
                yield _Wanted(id, tenure, "free", "it could not be taken over")

    def _aim_at(self, job: Job, tenure: Tenure) -> Aim:
        if self._trouble == _NOT_ANSWERED or not self._succession.may_claim(job, tenure):
            return "none"
        seen = self._loop.observe(job)
        around = Surroundings(seen.fence is not None, seen.answer is not None, self._loop.remote.has_copied(job.id))
        return decide_aim(job.record, around)

    def _list_new_postings(self) -> dict[str, str]:
        """Of what has begun, or could begin anywhere: a fresh start, and what comes after other jobs, begin at home."""
        postings = {}
        for job in self._loop.jobs.values():
            spec = job.submission.spec
            is_bound = (spec.fresh_start or spec.after) and not job.record.has_run
            if job.tenure is not None and job.tenure.is_valid and job.id not in self._posted and not is_bound:
                posting = make_posting(job.submission, job.record)
                postings[format_posting(job.id)] = posting.model_dump_json()
        return postings

    def _take_in(self, plan: _Plan, told: Told, chains: Mapping[str, Seen]) -> None:
        self._take_in_postings(told.texts)
        for job in chains.keys() - self._own.keys() - self._strangers.tenures.keys():
            self._strangers.tenures[job] = Tenure(self._joined, job)
        ended = read_boottime()
        for job, tenure in [*self._own.items(), *self._strangers.tenures.items()]:
            move = plan.moves.get(job)
            has_claimed = move is not None and format_lease(job, move.entry.token) in told.created
            self._note(job, tenure, move, Round(plan.began, ended, chains.get(job, Seen()), has_claimed))
        for job in [job for job in self._own if job not in self._loop.jobs and not self._own[job].is_mine]:
            self._strangers.tenures[job] = self._own.pop(job)

    def _note(self, id: str, tenure: Tenure, move: Move | None, done: Round) -> None:
        before = (tenure.find_obstacle(), tenure.make_term())
        tenure.end(move, done)
        job = self._loop.jobs.get(id)
        if job is None:
            return
        self._loop.tell_leash(job)
        if before[0] != tenure.find_obstacle():
            job.wake.set()
        if before[1] != tenure.make_term():
            self._loop.look_at_remote(job)

    def _take_in_postings(self, texts: Mapping[str, str]) -> None:
        for key, text in texts.items():
            job = parse_posting(key)
            if job is not None and job not in self._posted:
                self._posted.add(job)
                with contextlib.suppress(ValueError):  # of a later version, or of somebody else
                    self._strangers.postings[job] = Posting.model_validate_json(text)

    def _note_trouble(self, text: str | None) -> None:
        if text is not None and text != self._trouble:
            _log.warning("%s", text)
        self._trouble = text
        for tenure in self._own.values():
            tenure.trouble = text

    def describe(self) -> FleetView:
        tenures = {**self._strangers.tenures, **self._own}
        rows = [
            self._describe_job(posting, tenures[id])
            for id, posting in self._strangers.postings.items()
            if id in tenures
        ]
        return FleetView(url=self._joined.url, host=self._joined.host.name, trouble=self._trouble, jobs=rows)

    def _describe_job(self, posting: Posting, tenure: Tenure) -> FleetJobView:
        newest, is_known = tenure.stand.seen.newest, posting.id in self._loop.jobs
        return FleetJobView(
            id=posting.id,
            name=posting.name,
            lease=tenure.describe(),
            state=newest.lease.state if newest is not None else "none",
            is_known_here=is_known,
            lacks=None if is_known else self._newcomer.find_reason(posting.id),
        )


def is_shared(remote: str | None, url: str) -> bool:
    """Whether hosts that have joined `url` can be expected to find the checkpoints of a job there. On the disk of one
    of them, another would find none, and begin at step 0."""
    return remote is not None and (not remote.startswith("file:") or url.startswith("file:"))


def make_joined(host: Host, url: str, lasts: float) -> Joined:
    return Joined(host, url.rstrip("/"), lasts)
