"""Several jobs and one machine, through the daemon's own decisions: whatever is killed at whatever moment, what is
under way never exceeds what there is, no GPU is anybody's twice, and in the end every job has succeeded.

Each run is drawn from a seed; a failure names it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from perdured.core.queue.amounts import UNLIMITED
from perdured.core.queue.demand import Demand
from perdured.core.queue.machine import Machine
from perdured.core.queue.plan import make_plan
from perdured.core.queue.standing import read_demand
from perdured.core.queue.turn import GO, Turn
from perdured.core.record import UNDER_WAY, JobRecord
from support.jobs import NOW, make_spec
from support.simulation import Daemon
from support.world import Script, World

MACHINE = Machine(UNLIMITED._replace(cpus=4), gpus=("GPU-a", "GPU-b"))
SEEDS = range(60)
FRESH_SEEDS = 20
MOST_ROUNDS = 5000


@dataclass
class QueuedWorld(World):
    """One job's, which asks the hall for its turn."""

    hall: Hall | None = None

    def take_turn(self) -> Turn:
        assert self.hall is not None
        assert self.record is not None
        return self.hall.find_turn(self.record.id)


@dataclass
class Hall:
    """The machine with all its jobs, and the daemon that tends them."""

    rng: random.Random
    worlds: list[QueuedWorld] = field(default_factory=list)
    daemons: list[Daemon] = field(default_factory=list)
    kills: int = 6
    coming: list[int] = field(default_factory=list)
    """Jobs that are submitted while others run."""
    aside: int = 0
    """How often a job was told to step aside."""

    def add(self, number: int) -> None:
        rng = self.rng
        spec = make_spec(
            f"priority = {rng.randrange(3)}\n[resources]\ncpus = {rng.randrange(5)}\ngpus = {rng.randrange(3)}"
        )
        record = JobRecord(id=f"job-{number}", name="job", submitted_at=self.now + rng.randrange(3))
        crash = [Script(ends_after=2, saves_every=1)] if rng.random() < 0.3 else []
        world = QueuedWorld(crash, spec, now=self.now, record=record, hall=self)
        self.worlds.append(world)
        self.daemons.append(Daemon(world))

    @property
    def now(self) -> float:
        return max((world.now for world in self.worlds), default=NOW)

    def find_turn(self, job: str) -> Turn:
        turn = make_plan(self._list_demands(), MACHINE, self.now).turns.get(job, GO)
        self.aside += turn.kind == "aside"
        return turn

    def _list_demands(self) -> Iterator[Demand]:
        for world in self.worlds:
            demand = read_demand(world.spec, world.record, {}) if world.record is not None else None
            if demand is not None:
                yield demand

    def run(self) -> None:
        """Steps of the jobs' loops come in any order, as between awaits."""
        for _ in range(MOST_ROUNDS):
            if self.coming and (self.rng.random() < 0.2 or not self._list_to_be_tended()):
                self.add(self.coming.pop())
            settling = {index: self.daemons[index].settle() for index in self._list_to_be_tended()}
            while settling:
                index = self.rng.choice(sorted(settling))
                if next(settling[index], None) is None:
                    del settling[index]
                self.check()
                if self.kills and self.rng.random() < 0.02:
                    self._kill()
                    break
            else:
                if self._list_to_be_tended():
                    self._pass_time()
                elif not self.coming:
                    return
        raise AssertionError(f"they never come to rest: {[world.record for world in self.worlds]}")

    def _list_to_be_tended(self) -> list[int]:
        records = [world.record for world in self.worlds]
        return [index for index, record in enumerate(records) if record is not None and not record.is_resting]

    def _kill(self) -> None:
        self.kills -= 1
        for world in self.worlds:
            world.drop_posts()
        self.daemons = [Daemon(world) for world in self.worlds]
        for daemon in self.daemons:
            daemon.take_up()

    def _pass_time(self) -> None:
        times = [daemon.wake_at for daemon in self.daemons] + [world.next_event() for world in self.worlds]
        until = max(min(time for time in times if time is not None), self.now)
        for world in self.worlds:
            world.advance(until)

    def check(self) -> None:
        under_way = [world for world in self.worlds if world.record and world.record.phase.kind in UNDER_WAY]
        living = [world for world in self.worlds if any(attempt.lives for attempt in world.attempts.values())]
        for some in (under_way, living):
            assert sum(world.spec.resources.cpus for world in some) <= 4
            assert sum(world.spec.resources.gpus for world in some) <= 2
            given = [gpu for world in some for gpu in _gpus_of(world)]
            assert len(given) == len(set(given)), "one GPU, two jobs"
        for world in under_way:
            assert len(_gpus_of(world)) == world.spec.resources.gpus


def _gpus_of(world: World) -> tuple[str, ...]:
    assert world.record is not None
    return world.record.attempts[-1].gpus


def run(seed: int) -> Hall:
    rng = random.Random(seed)
    hall = Hall(rng, coming=list(range(rng.randrange(3, 8))))
    hall.run()
    assert [world.record.phase.kind for world in hall.worlds if world.record] == ["succeeded"] * len(hall.worlds)
    return hall


@pytest.mark.parametrize("which", ["known", "fresh"])
def test_the_machine_is_never_overfull_and_every_job_succeeds(which: str) -> None:
    fresh = random.SystemRandom().randrange(10**9)
    for seed in SEEDS if which == "known" else range(fresh, fresh + FRESH_SEEDS):
        try:
            run(seed)
        except Exception as error:
            raise AssertionError(f"with seed {seed}: {error}") from error


def test_the_seeds_reach_jobs_that_step_aside_and_come_back() -> None:
    """Else they would prove less than they seem to."""
    halls = [run(seed) for seed in SEEDS]
    assert sum(hall.aside for hall in halls) > 10
    assert any(world.record and len(world.record.attempts) > 1 for hall in halls for world in hall.worlds)
