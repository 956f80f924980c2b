"""What follows on this host from the leases of others.

- A job of ours that another host runs is parked here; one that is over elsewhere is stopped here. A person who resumes
  a job that is over has it run again here.
- A job that is parked here since another host had it, and that is free again, goes on here.
- A job that nobody here knows, and nobody holds any more, is taken over: if this host has what it needs, one at a time,
  and only while no other job waits here for its turn. First it is looked, then claimed, then entered, then submitted
  under its own id. If that fails the lease is given back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from perdured.clock import read_boottime
from perdured.core.events import Event
from perdured.core.lease import Entry, Host, may_enter_after, say_holder
from perdured.core.record import Wish
from perdured.errors import PerdureError
from perdured.fleet.posting import Posting

from .job import Job
from .loop import Loop
from .newcomer import Newcomer
from .tenure import Tenure

_log = logging.getLogger("perdured")


class Strangers(NamedTuple):
    """Jobs that nobody here knows, by their ids; the postings are those of all jobs."""

    tenures: dict[str, Tenure]
    postings: dict[str, Posting]


class Succession:
    def __init__(self, host: Host, loop: Loop, newcomer: Newcomer, wake: Callable[[], None]) -> None:
        """`wake` asks for another round at once."""
        self._host = host
        self._loop = loop
        self._newcomer = newcomer
        self._wake = wake
        self.taking: str | None = None
        """The job that is being taken over."""
        self._stopped: dict[str, int] = {}
        """Of a job that is over elsewhere, the token at which it was stopped here."""

    def may_claim(self, job: Job, tenure: Tenure) -> bool:
        """What is over elsewhere does not begin again, but by hand."""
        newest = tenure.stand.seen.newest
        is_over = newest is not None and newest.lease.state == "over" and newest.lease.host.id != self._host.id
        return not is_over or (newest is not None and self._stopped.get(job.id) == newest.token)

    async def follow(self, strangers: Strangers) -> None:
        for job in list(self._loop.jobs.values()):
            newest = job.tenure.stand.seen.newest if job.tenure is not None else None
            if job.tenure is not None and newest is not None and newest.lease.host.id != self._host.id:
                self._follow(job, job.tenure, newest)
        if self.taking is None:
            await self._find_one(strangers)
        else:
            await self._go_on_taking(self.taking, strangers)

    def _follow(self, job: Job, tenure: Tenure, newest: Entry) -> None:
        record, text = job.record, say_holder(newest)
        will_run = not record.is_resting or record.will_run
        if record.wish == "remove":
            return
        if newest.lease.state == "over":
            if self._stopped.get(job.id) != newest.token and will_run:
                self._wish(job, "stop", text)
            self._stopped[job.id] = newest.token
        elif not self._is_gone(tenure, newest):
            if not record.is_resting or record.wish == "restart":
                self._wish(job, "park", text)
        elif record.phase.kind == "parked" and record.is_resting and self._loop.observe(job).fence is None:
            self._wish(job, "restart", f"{newest.lease.host.name} has it no more: going on here")

    def _wish(self, job: Job, wish: Wish, text: str) -> None:
        if job.record.wish != wish:
            self._loop.wish(job, wish, Event(kind="lease", text=text))

    def _is_gone(self, tenure: Tenure, newest: Entry) -> bool:
        return may_enter_after(newest, self._host, tenure.stand.watch, read_boottime())

    # Jobs of others ------------------------------------------------------------------------------------------

    async def _find_one(self, strangers: Strangers) -> None:
        for id, tenure in list(strangers.tenures.items()):
            newest, posting = tenure.stand.seen.newest, strangers.postings.get(id)
            if newest is None or posting is None or newest.lease.state == "over":
                continue
            if self._is_gone(tenure, newest) and await self._newcomer.is_fit(posting):
                _log.info("job %s (%s): %s has it no more; taking it over", id, posting.name, newest.lease.host.name)
                self.taking = id
                self._wake()
                return

    async def _go_on_taking(self, id: str, strangers: Strangers) -> None:
        tenure = strangers.tenures.get(id)
        newest = tenure.stand.seen.newest if tenure is not None else None
        if tenure is None or newest is None:
            self.taking = None
        elif tenure.is_valid:
            try:
                await self._newcomer.submit(strangers.postings[id])
            except PerdureError as error:
                _log.warning("job %s could not be taken over: %s", id, error)
            self.taking = None
            self._wake()
        elif tenure.stand.hold is None and not self._is_gone(tenure, newest):
            self.taking = None  # another host was faster
