"""Killing the daemon between any two effects, and starting it again, ends in the same place: every point of every
scenario is walked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from perdured.core.record import exit_status
from support.plots import SCENARIOS, Break, Scenario
from support.simulation import DaemonKilled, Simulation
from support.world import World

PARKED = Scenario(plan=((3, "park"),), ends="parked", status=75)


@dataclass
class Follow:
    """Carries out a scenario's plan when all is quiet, and kills the daemon at one point."""

    scenario: Scenario
    kill_at: int | None = None
    done: int = field(default=0)

    def __call__(self, simulation: Simulation, point: str) -> None:
        if point == "quiet":
            self._go_on(simulation)
        if len(simulation.points) - 1 == self.kill_at:
            raise DaemonKilled

    def _go_on(self, simulation: Simulation) -> None:
        what = self.scenario.find_next(self.done, simulation.world)
        if what is None:
            return
        self.done += 1
        if not callable(what):
            simulation.wish(what)
            return
        what(simulation.world)
        if what is World.reboot:
            raise DaemonKilled


def run(scenario: Scenario, kill_at: int | None = None, on_death: Break | None = None) -> Simulation:
    simulation = Simulation(World(list(scenario.scripts)), Follow(scenario, kill_at), on_death)
    simulation.run()
    return simulation


def place(simulation: Simulation) -> dict[str, Any]:
    """Where it ended: all of the record but times, and how the record words it."""
    record = simulation.world.record
    if record is None:
        return {"phase": "removed", "newest": simulation.world.newest}
    attempts = [(a.number, a.exit_code, a.signal, a.why, a.resumed_from_step) for a in record.attempts]
    return {
        "phase": record.phase.kind,
        "newest": simulation.world.newest,
        "attempts": attempts,
        "failures": record.failures,
        "progress": record.progress,
        "reason": record.reason,
        "status": exit_status(record),
    }


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_a_scenario_ends_where_it_should(scenario: Scenario) -> None:
    ended = place(run(scenario))
    assert (ended["phase"], ended.get("status")) == (scenario.ends, scenario.status)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_a_kill_at_any_point_ends_in_the_same_place(scenario: Scenario) -> None:
    undisturbed = run(scenario)
    assert len(undisturbed.points) >= 5
    for kill_at in range(len(undisturbed.points)):
        point = f"killed at point {kill_at}, after {undisturbed.points[kill_at]!r}"
        assert place(run(scenario, kill_at)) == place(undisturbed), point


def test_a_parked_job_goes_on_when_the_machine_is_back_however_far_the_parking_had_come() -> None:
    """The daemon is killed at each point on the way into the park. One that starts finds the machine back."""
    undisturbed = run(PARKED)
    assert place(undisturbed)["phase"] == "parked"
    (asked,) = undisturbed.wished
    for kill_at in range(len(undisturbed.points)):
        after = "parked" if kill_at < asked else "succeeded"
        assert place(run(PARKED, kill_at))["phase"] == after, f"killed at point {kill_at}"


UNATTENDED = [
    "it trains to its end",
    "it crashes twice on the way",
    "it crashes too often",
    "it asks to be run again",
    "it says that it cannot succeed",
]


@pytest.mark.parametrize("name", UNATTENDED)
@pytest.mark.parametrize("downtime", [15.0, 45.0, 100_000.0])
def test_an_exit_while_no_daemon_lived_is_not_lost(name: str, downtime: float) -> None:
    """The daemon is away for a step, for a few, or until after the attempt's end."""
    undisturbed = run(SCENARIOS[name])
    for kill_at in range(len(undisturbed.points)):
        away = run(SCENARIOS[name], kill_at, lambda world: world.advance(world.now + downtime))
        assert place(away) == place(undisturbed), f"killed at point {kill_at}"


def test_the_walk_passes_between_every_two_effects() -> None:
    """Else a kind of point could be missing from all scenarios."""
    points = {point for scenario in SCENARIOS.values() for point in run(scenario).points}
    assert points == {"saved", "ground", "post", "go", "stop", "clean", "forget", "quiet", "probe"}
