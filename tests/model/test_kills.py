"""Killing the daemon between any two effects, and starting it again, ends in the same place: every point of every
scenario is walked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from perdured.core.ends.cause import Cause
from perdured.core.record import Wish, exit_status
from support.jobs import EVIDENCE
from support.simulation import DaemonKilled, Simulation
from support.world import Script, World

Break = Callable[[World], None]
CRASH = Script(ends_after=1)
"""Before the first checkpoint."""
CRASH_LATER = Script(ends_after=3)
FULL = Script(ends_after=3, prints=tuple(EVIDENCE[Cause.DISK_FULL][0].splitlines()))
TYPO = Script(ends_after=1, prints=tuple(EVIDENCE[Cause.EXCEPTION][0].splitlines()))
DEAF = Script(on_stop="ignores", total=99)
SLOPPY = Script(on_stop="exits")
"""It exits with 0 on SIGTERM and has saved nothing."""
MESSY = Script(leaves_children=True)


@dataclass(frozen=True)
class Scenario:
    """What the job does, and what happens to it: (at which step of the job, or at "rest", what)."""

    scripts: tuple[Script, ...] = ()
    plan: tuple[tuple[int | str, Wish | Break], ...] = ()
    ends: str = "succeeded"
    status: int | None = 0


SCENARIOS = {
    "it trains to its end": Scenario(),
    "it crashes twice on the way": Scenario((CRASH_LATER, Script(ends_after=2))),
    "it crashes too often": Scenario((CRASH,) * 5, ends="failed", status=1),
    "its newest checkpoint is bad": Scenario((Script(ends_after=3, saves_every=1), *(Script(dies_with=3),) * 2)),
    "all its checkpoints are bad": Scenario((CRASH_LATER, *(Script(dies_with=2),) * 2), ends="failed", status=125),
    "its disk is full for a while": Scenario((FULL, FULL, CRASH_LATER)),
    "it fails in the same way twice": Scenario((TYPO, TYPO), ends="failed", status=1),
    "it asks to be run again": Scenario((Script(ends_after=2, code=75), Script(ends_after=1, code=75))),
    "it says that it cannot succeed": Scenario((Script(ends_after=3, code=78),), ends="failed", status=78),
    "it is stopped": Scenario(plan=((3, "stop"),), ends="stopped", status=75),
    "it is stopped before it has saved": Scenario((SLOPPY,), ((1, "stop"),), "stopped", 143),
    "it is stopped and ignores it": Scenario((DEAF,), ((3, "stop"),), "stopped", 75),
    "it is stopped and resumed": Scenario(plan=((3, "stop"), ("rest", "restart"))),
    "it is restarted": Scenario(plan=((3, "restart"),)),
    "it is removed while it runs": Scenario(plan=((3, "remove"),), ends="removed", status=None),
    "it is removed at its end": Scenario(plan=(("rest", "remove"),), ends="removed", status=None),
    "its process is killed": Scenario(plan=((3, World.kill_leader),)),
    "its keeper is killed": Scenario(plan=((3, World.kill_keeper),)),
    "its keeper is killed and children stay": Scenario((MESSY,), ((3, World.kill_keeper),)),
    "its keeper is killed at the worst moment": Scenario((MESSY,), ((3, World.kill_keeper_at_the_end),)),
    "its keeper is killed and it is stopped": Scenario((), ((2, World.kill_keeper), (3, "stop")), "stopped", 75),
    "its keeper is killed and it ignores a stop": Scenario(
        (DEAF,), ((2, World.kill_keeper), (3, "stop")), "stopped", 75
    ),
    "the machine is restarted": Scenario(plan=((3, World.reboot),)),
    "the machine is shut down": Scenario(plan=((3, World.terminate_keeper),)),
    "the machine is shut down and it exits with 0": Scenario((SLOPPY,), ((3, World.terminate_keeper),)),
}

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
        if self.done == len(self.scenario.plan):
            return
        when, what = self.scenario.plan[self.done]
        record = simulation.world.record
        step = max((a.step for a in simulation.world.attempts.values() if a.leader_lives), default=-1)
        is_due = step >= when if isinstance(when, int) else record is not None and record.is_resting
        if not is_due:
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
