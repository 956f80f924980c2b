"""The queue of a running daemon: keeps every job's demand, has the plan made when one has changed, and wakes those
whose turn is another one then.

A job's loop asks for its turn, decides and records its start with no await in between, and what is recorded is what the
next plan is made from: so no two jobs start on the same place, and a daemon that comes back finds every place taken
that was. A job that asks for nothing that is limited is not planned for at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from perdured.core.queue.amounts import Amounts
from perdured.core.queue.demand import Demand
from perdured.core.queue.machine import Machine
from perdured.core.queue.plan import make_plan
from perdured.core.queue.standing import ask_of, read_demand
from perdured.core.queue.turn import GO, TooLarge, Turn
from perdured.core.queue.words import say_obstacle
from perdured.core.spec import Spec
from perdured.errors import BadUsage

from .job import Job

Wake = Callable[[str], None]


class Queue:
    def __init__(self, machine: Machine, wake: Wake) -> None:
        self._machine = machine
        self._wake = wake
        self._demands: dict[str, Demand] = {}
        self._plan: Mapping[str, Turn] | None = None
        """None: to be made anew."""
        self._seen: dict[str, str] = {}
        """The kind of turn that each job's loop has decided by."""
        self._telling: asyncio.Handle | None = None

    def note(self, job: Job) -> None:
        """The job's record is new, or another one."""
        demand = read_demand(job.submission.spec, job.record)
        if demand is not None and self._is_free(demand.asks):
            demand = None
        if demand == self._demands.get(job.id):
            return
        if demand is None:
            self.forget(job.id)
            return
        self._demands[job.id] = demand
        self._change()

    def forget(self, job: str) -> None:
        self._seen.pop(job, None)
        if self._demands.pop(job, None) is not None:
            self._change()

    def find_turn(self, job: str) -> Turn:
        """As of now."""
        if self._plan is None:
            self._plan = make_plan(self._demands.values(), self._machine)
        return self._plan.get(job, GO)

    def take_turn(self, job: str) -> Turn:
        """The same, for whoever decides by it, and records what follows before it awaits anything."""
        turn = self.find_turn(job)
        if job in self._demands:
            self._seen[job] = turn.kind
        return turn

    def refuse_too_large(self, spec: Spec) -> None:
        """Raises BadUsage for what could never start here."""
        asks, has = ask_of(spec), self._machine.has
        kinds = has.list_lacking(asks)
        if kinds:
            why = f"It {say_obstacle(TooLarge(asks, has, kinds))}."
            todo = "Ask for less in [resources]; the config of perdured says how much it may give."
            raise BadUsage("The job was not accepted: it would never start.", why, todo)

    def _is_free(self, asks: Amounts) -> bool:
        limited = (ask for ask, has in zip(asks, self._machine.has, strict=True) if has != float("inf"))
        return not any(limited)

    def _change(self) -> None:
        self._plan = None
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        """Once for all that changed together."""
        self._telling = None
        for job in self._demands:
            if self.find_turn(job).kind != self._seen.get(job):
                self._wake(job)
