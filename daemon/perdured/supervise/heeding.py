"""What follows from notices: each job that saves is asked for a checkpoint before the hardest deadline.

Each deadline is heeded once for each job, as soon as the job can save. One that is far away is left alone until it is
near: training goes on, and the intervals of the spec save it meanwhile. Advice and pauses change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from perdured.clock import Clock
from perdured.core.events import Event
from perdured.core.notices.merging import Outlook, merge_notices, say_outlook
from perdured.core.notices.notice import Notice
from perdured.core.planner import list_stages, plan_save, until_safe_point

from .job import Job
from .journal import Journal

NEAR = 600.0
"""Seconds."""
LOOK_EVERY = 1.0
"""Seconds, while a deadline stands: it comes nearer, and a job that could not save may have come to its first step."""


class Heeding:
    def __init__(self, jobs: Mapping[str, Job], journal: Journal, clock: Clock) -> None:
        self._jobs = jobs
        self._journal = journal
        self._clock = clock
        self._outlook = Outlook()
        self._heeded: dict[str, float] = {}
        """For each job the deadline that it was asked to save before."""
        self._timer: asyncio.TimerHandle | None = None

    def heed(self, standing: Sequence[Notice]) -> None:
        self._outlook = merge_notices(standing)
        self._look()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self.close()
        deadline, now = self._outlook.deadline, self._clock()
        if deadline is None:
            self._heeded.clear()
            return
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._look)
        if deadline - now > NEAR:
            return
        for job in self._jobs.values():
            if self._heeded.get(job.id) != deadline and _may_save(job):
                self._heeded[job.id] = deadline
                self._ask(job, max(deadline - now, 0.0), say_outlook(self._outlook, now))

    def _ask(self, job: Job, left: float, why: str) -> None:
        assert job.link is not None
        pace = job.status.pace if job.status is not None else None
        plan = plan_save(list_stages(pace), until_safe_point(pace), left)
        if plan.tier is not None:
            job.link.ask_save(left)
        self._journal.tell(job, [Event(kind="asked", text=f"{why}: {plan.why}")])


def _may_save(job: Job) -> bool:
    return job.link is not None and job.status is not None and job.status.step is not None
