"""The queue of a running daemon: keeps every job's demand, has the plan made when one has changed, and wakes those
whose turn is another one then.

A job's loop asks for its turn, decides and records its start with no await in between, and what is recorded is what the
next plan is made from: so no two jobs start on the same place, and a daemon that comes back finds every place taken
that was. A job that asks for nothing that is limited is not planned for at all.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterator, Mapping

from perdured.clock import Clock
from perdured.core.queue.amounts import Amounts
from perdured.core.queue.demand import Demand
from perdured.core.queue.machine import Machine
from perdured.core.queue.plan import Plan, make_plan
from perdured.core.queue.standing import ask_of, read_demand
from perdured.core.queue.turn import GO, TooLarge, Turn
from perdured.core.queue.words import say_obstacle
from perdured.core.spec import Spec
from perdured.errors import BadUsage

from .job import Job


class Queue:
    def __init__(self, jobs: Mapping[str, Job], machine: Machine, clock: Clock) -> None:
        self.machine = machine
        self._jobs = jobs
        self._clock = clock
        self._demands: dict[str, Demand] = {}
        self._followers: dict[str, set[str]] = {}
        """Of a job those that come after it."""
        self._plan: Plan | None = None
        """None: to be made anew."""
        self._seen: dict[str, str] = {}
        """The kind of turn that each job's loop has decided by."""
        self._telling: asyncio.TimerHandle | asyncio.Handle | None = None
        self.on_plan: Callable[[], None] | None = None
        """Called when there is another plan."""

    def note(self, job: Job) -> None:
        """The job's record is new, or another one."""
        for other in job.submission.spec.after:
            self._followers.setdefault(other, set()).add(job.id)
        self._read(job)
        self._read_followers(job.id)

    def forget(self, job: str) -> None:
        """It is no more among the jobs."""
        self._drop(job)
        self._read_followers(job)

    def find_turn(self, job: str) -> Turn:
        """As of now."""
        return self.find_turns().get(job, GO)

    def find_turns(self) -> Mapping[str, Turn]:
        """Of all that are planned for, in their order."""
        if self._plan is None:
            self._plan = make_plan(self._demands.values(), self.machine, self._clock())
        return self._plan.turns

    def list_demands(self) -> Collection[Demand]:
        return self._demands.values()

    def take_turn(self, job: str) -> Turn:
        """The same, for whoever decides by it, and records what follows before it awaits anything."""
        turn = self.find_turn(job)
        if job in self._demands:
            self._seen[job] = turn.kind
        return turn

    def change_machine(self, machine: Machine) -> None:
        self.machine = machine
        self._change()

    def list_members(self, group: str) -> list[Demand]:
        return [demand for demand in self._demands.values() if demand.group == group]

    def list_holders(self) -> list[Demand]:
        """Those that have a place."""
        return [demand for demand in self._demands.values() if demand.has_place]

    def find_unpromised_memory(self) -> float:
        """Bytes of what there is to be had that no job with a place has asked for."""
        return self.machine.capacity.memory - sum(demand.asks.memory for demand in self.list_holders())

    def has_waiting(self) -> bool:
        """Whether a job could start, if only there were room."""
        return any(demand.standing == "ready" and not demand.unmet for demand in self._demands.values())

    def list_groups(self) -> set[str]:
        return {demand.group for demand in self._demands.values() if demand.group is not None} | self.machine.paused

    def list_waiting_for(self, job: str) -> Iterator[Job]:
        """Those that may start only when it has succeeded, be it that somebody has to resume them first: if it were
        forgotten, nobody could tell any more that it has not."""
        if self._jobs[job].record.phase.kind == "succeeded":
            return
        for follower in sorted(self._followers.get(job, ())):
            if follower in self._jobs and self._jobs[follower].record.phase.kind != "succeeded":
                yield self._jobs[follower]

    def refuse_too_large(self, spec: Spec) -> None:
        """Raises BadUsage for what could never start here."""
        asks, has = ask_of(spec), self._find_most()
        kinds = has.list_lacking(asks)
        if kinds:
            why = f"It {say_obstacle(TooLarge(asks, has, kinds))}."
            todo = "Ask for less in [resources]; the config of perdured says how much it may give."
            raise BadUsage("The job was not accepted: it would never start.", why, todo)

    def _find_most(self) -> Amounts:
        """All that there is, GPUs in quarantine included: those may come back."""
        return self.machine._replace(quarantined=frozenset()).capacity

    def _read(self, job: Job) -> None:
        spec = job.submission.spec
        known = {id: self._jobs[id].record for id in spec.after if id in self._jobs}
        demand = read_demand(spec, job.record, known)
        if demand is None or self._is_free(demand):
            self._drop(job.id)
        elif demand != self._demands.get(job.id):
            self._demands[job.id] = demand
            self._change()

    def _read_followers(self, job: str) -> None:
        for follower in self._followers.get(job, ()):
            if follower in self._jobs:
                self._read(self._jobs[follower])

    def _drop(self, job: str) -> None:
        if self._demands.pop(job, None) is not None:
            if self._seen.pop(job, None) != "go" and job in self._jobs:
                self._jobs[job].wake.set()
            self._change()

    def _is_free(self, demand: Demand) -> bool:
        """Nothing that it waits for, or others could wait for, has to do with it."""
        if demand.group is not None or demand.unmet or demand.not_before is not None:
            return False
        return all(not ask or has == math.inf for ask, has in zip(demand.asks, self.machine.capacity, strict=True))

    def _change(self) -> None:
        self._plan = None
        if isinstance(self._telling, asyncio.TimerHandle):
            self._telling.cancel()
            self._telling = None
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        """Once for all that changed together."""
        self._telling = None
        for job in self._demands:
            if self.find_turn(job).kind != self._seen.get(job):
                self._jobs[job].wake.set()
        if self.on_plan is not None:
            self.on_plan()
        if self._plan is not None and self._plan.look_at is not None:
            delay = max(self._plan.look_at - self._clock(), 0.0)
            self._telling = asyncio.get_running_loop().call_later(delay, self._change)
