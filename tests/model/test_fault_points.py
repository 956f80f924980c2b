"""The whole daemon, killed after each of its effects in turn and started again, ends in the same place: every effect of
every plot is walked. `test_kills.py` walks the decision alone, in more detail; `acceptance/test_many_deaths.py` walks
a plot with real processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from perdured.core.record import exit_status
from perdured.errors import NoSuchJob
from support.fake_machine import Machine, temporary_machine
from support.jobs import make_spec
from support.plots import SCENARIOS, Scenario
from support.world import World

JOB = "job00001"
SPEC = make_spec("[standby]\nenabled = false\n")
LONGEST = 4000.0
BEAT = 5.0
"""Seconds: half a step of the job."""


@dataclass
class Walk:
    """One plot, to its end. What was asked when the daemon died is asked again only where that was not recorded."""

    machine: Machine
    scenario: Scenario
    done: int = 0
    deaths: int = 0

    def run(self, kill_at: int | None) -> dict[str, Any]:
        machine = self.machine
        machine.start_daemon()
        machine.kill_in = kill_at
        if machine.submit(JOB, SPEC, self.scenario.scripts) is None:
            self._be_there()
            if not self._is_known():
                machine.submit(JOB, SPEC, self.scenario.scripts)
        until = machine.now + LONGEST
        while not self._is_over():
            assert machine.now < until, "it never comes to rest"
            self._go_on()
            machine.pass_time(BEAT)
            self._be_there()
        return self._describe()

    @property
    def _world(self) -> World:
        return self.machine.worlds[JOB]

    def _be_there(self) -> None:
        while self.machine.is_dead:
            self.deaths += 1
            self.machine.start_daemon()

    def _is_known(self) -> bool:
        return self._world.record is not None

    def _is_over(self) -> bool:
        record = self._world.record
        is_done = self.done == len(self.scenario.plan)
        return record is None or (is_done and record.is_resting and record.wish == "run")

    def _go_on(self) -> None:
        """What the plan has next, if its time has come."""
        what = self.scenario.find_next(self.done, self._world) if self._is_known() else None
        if what is None:
            return
        self.done += 1
        if not callable(what):
            self._ask(what)
            return
        what(self._world)
        if what is World.reboot:
            self.machine.kill_daemon()
            self._be_there()
        self.machine.settle()

    def _ask(self, wish: Any) -> None:
        machine = self.machine
        if machine.do(machine.service.ask(JOB, wish)) is not None:
            return
        self._be_there()
        record = self._world.record
        if record is not None and f"asked to {wish}" not in machine.list_told(JOB):
            machine.do(machine.service.ask(JOB, wish))

    def _describe(self) -> dict[str, Any]:
        """Where it ended: all of the record but times, and how the record words it."""
        record = self._world.record
        if record is None:
            with pytest.raises(NoSuchJob):
                self.machine.service.show(JOB)
            return {"phase": "removed", "newest": self._world.newest}
        attempts = [(a.number, a.exit_code, a.signal, a.why, a.resumed_from_step) for a in record.attempts]
        return {
            "phase": record.phase.kind,
            "newest": self._world.newest,
            "attempts": attempts,
            "failures": record.failures,
            "progress": record.progress,
            "reason": record.reason,
            "status": exit_status(record),
        }


def walk(scenario: Scenario, kill_at: int | None = None) -> tuple[dict[str, Any], int]:
    """Where it ended, and how often the daemon was killed at that effect: not at all where it did not come so far."""
    with temporary_machine() as machine:
        path = Walk(machine, scenario)
        return path.run(kill_at), path.deaths


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_a_kill_after_any_effect_ends_in_the_same_place(scenario: Scenario) -> None:
    undisturbed, deaths = walk(scenario)
    assert (undisturbed["phase"], undisturbed.get("status")) == (scenario.ends, scenario.status)
    kill_at, usual = 1, deaths
    while True:
        ended, deaths = walk(scenario, kill_at)
        assert ended == undisturbed, f"killed after effect {kill_at}"
        if deaths == usual:
            break
        kill_at += 1
    assert kill_at > 8, "there are fewer points than such a job has effects"
