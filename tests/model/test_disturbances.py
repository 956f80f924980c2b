"""Whatever happens at whatever moment, in any order: no attempt is run twice or beside another, nothing is called a
success that was none, and once it is calm the job comes to rest.

Each run is drawn from a seed; a failure names it, and `run(seed, …)` repeats it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from perdured.core.ends.cause import Cause
from perdured.core.judgement import MAX_HOPS
from perdured.core.observation import Refused
from perdured.core.record import Wish
from support.jobs import EVIDENCE, make_spec
from support.simulation import DaemonKilled, Simulation
from support.world import OnStop, Script, World

SPEC = make_spec()
KNOWN_SEEDS = range(1500)
FRESH_SEEDS = 500

Disturbance = Callable[[Simulation], None]


def kill_daemon(simulation: Simulation) -> None:
    raise DaemonKilled


def restart_machine(simulation: Simulation) -> None:
    simulation.world.reboot()
    raise DaemonKilled


def set_clock(offset: float, simulation: Simulation) -> None:
    simulation.clock_offset = offset
    raise DaemonKilled


def blind(simulation: Simulation) -> None:
    simulation.daemon.blind = 3


def terminate_keeper(simulation: Simulation) -> None:
    simulation.world.terminate_keeper()


def kill_keeper(simulation: Simulation) -> None:
    simulation.world.kill_keeper()


def kill_keeper_at_the_end(simulation: Simulation) -> None:
    simulation.world.kill_keeper_at_the_end()


def kill_leader(simulation: Simulation) -> None:
    simulation.world.kill_leader()


def refuse(permanent: bool, cause: Cause, simulation: Simulation) -> None:
    simulation.daemon.unfit.append(Refused(why="unfit", permanent=permanent, cause=cause))


def outrank(simulation: Simulation) -> None:
    simulation.world.crowded = 6


def wish(what: Wish, simulation: Simulation) -> None:
    simulation.wish(what)


HARMLESS: Sequence[Disturbance] = (
    kill_daemon,
    kill_daemon,
    restart_machine,
    terminate_keeper,
    blind,
    outrank,
    partial(set_clock, -100_000.0),
    partial(set_clock, 100_000.0),
)
"""What a job gets over without loss."""
ANY: Sequence[Disturbance] = (
    *HARMLESS,
    kill_leader,
    kill_keeper,
    kill_keeper,
    kill_keeper_at_the_end,
    partial(refuse, False, Cause.REFUSED),
    partial(refuse, True, Cause.REFUSED),
    partial(refuse, False, Cause.DISK_FULL),
    *(partial(wish, what) for what in ("stop", "park", "restart", "restart", "remove")),
)
ON_STOP: Sequence[OnStop] = ("saves", "saves", "exits", "dies", "ignores")


def draw_script(rng: random.Random) -> Script:
    ends_after = rng.choice([None, 1, 2, 3])
    code = rng.choice([1, 1, 3, 75, 75, 78])
    saves_every = rng.choice([1, 2, 4])
    evidence = rng.choice([None, None, *sorted(EVIDENCE)])
    return Script(
        prints=tuple(EVIDENCE[evidence][0].splitlines()) if evidence is not None else (),
        dies_with=rng.choice([None, None, None, 1, 2, 4]),
        ends_after=ends_after,
        code=code,
        saves_every=saves_every,
        on_stop=rng.choice(ON_STOP),
        leaves_children=rng.random() < 0.5,
    )


class Chaos:
    """At each point, now and then, one of these; after some of them, calm."""

    def __init__(self, rng: random.Random, disturbances: Sequence[Disturbance]) -> None:
        self._rng = rng
        self._disturbances = disturbances
        self._left = rng.randrange(1, 12)

    def __call__(self, simulation: Simulation, point: str) -> None:
        if self._left > 0 and self._rng.random() < 0.2:
            self._left -= 1
            self._rng.choice(self._disturbances)(simulation)


def run(seed: int, disturbances: Sequence[Disturbance], *, fails: bool) -> Simulation:
    """`fails`: the job may crash by itself as well."""
    rng = random.Random(seed)
    scripts = [draw_script(rng) if fails else Script(on_stop=rng.choice(ON_STOP)) for _ in range(rng.randrange(6))]
    if fails and rng.random() < 0.3:
        scripts[:0] = [Script(ends_after=3, saves_every=1), *[Script(dies_with=3)] * rng.randrange(1, 4)]
    simulation = Simulation(World(scripts, SPEC), Chaos(rng, disturbances))
    simulation.run()
    return simulation


def check_rest(simulation: Simulation) -> None:
    world = simulation.world
    assert not [a.number for a in world.attempts.values() if a.lives or a.has_keeper], "at rest, and something lives"
    record = world.record
    if record is None:
        return
    assert {a.number for a in world.attempts.values() if a.has_run} <= {a.number for a in record.attempts}
    assert all(attempt.ended_at is not None for attempt in record.attempts)
    assert record.progress == world.newest or world.has_stepped_over or record.suspects
    assert record.hops <= MAX_HOPS
    assert record.failures <= world.spec.restart.failures
    if record.phase.kind == "succeeded":
        assert world.has_finished


def check_success(simulation: Simulation) -> None:
    """Only where daemons died at one launch after the other, an attempt was given up that never ran."""
    check_rest(simulation)
    record = simulation.world.record
    assert record is not None
    assert (record.phase.kind, record.progress) == ("succeeded", Script().total)
    assert record.failures <= [attempt.why for attempt in record.attempts].count("its keeper did not come up")


def check_seeds(which: str, check: Callable[[int], None]) -> None:
    """The same ones each time, or new ones."""
    fresh = random.SystemRandom().randrange(10**9)
    for seed in KNOWN_SEEDS if which == "known" else range(fresh, fresh + FRESH_SEEDS):
        try:
            check(seed)
        except Exception as error:
            raise AssertionError(f"with seed {seed}: {error}") from error


@pytest.mark.parametrize("which", ["known", "fresh"])
def test_any_disturbances_leave_the_job_at_rest_and_nothing_alive(which: str) -> None:
    check_seeds(which, lambda seed: check_rest(run(seed, ANY, fails=True)))


@pytest.mark.parametrize("which", ["known", "fresh"])
def test_harmless_disturbances_leave_the_job_a_success(which: str) -> None:
    """Daemons die, machines are restarted and shut down, clocks jump, sights fail: none of it costs an attempt of the
    budget, or the job."""
    check_seeds(which, lambda seed: check_success(run(seed, HARMLESS, fails=False)))


def test_chaos_reaches_every_end_and_every_kind_of_point() -> None:
    """Else the seeds would prove less than they seem to."""
    ends, points, has_stepped_over = set(), set(), False
    for seed in KNOWN_SEEDS[:400]:
        simulation = run(seed, ANY, fails=True)
        ends.add(simulation.world.record.phase.kind if simulation.world.record else "removed")
        points |= set(simulation.points)
        has_stepped_over |= simulation.world.has_stepped_over
    assert ends == {"succeeded", "failed", "stopped", "parked", "removed"}
    assert points == {"saved", "ground", "post", "go", "stop", "clean", "forget", "quiet", "probe"}
    assert has_stepped_over


def test_the_same_seed_is_the_same_run() -> None:
    assert run(7, ANY, fails=True).points == run(7, ANY, fails=True).points
