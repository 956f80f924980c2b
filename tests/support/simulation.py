"""A daemon in the model world: `perdured.supervise.loop`, effect by effect, and what may befall it in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from perdured.core.actions import Action, Clean, Forget, Launch, Probe, Stop
from perdured.core.decide import decide
from perdured.core.ends.cause import STORAGE
from perdured.core.observation import Absent, AttemptSeen, Ended, GroundSeen, Lost, Refused, Unverifiable
from perdured.core.policy import wish_on_return
from perdured.core.queue.turn import GO
from perdured.core.record import UNDER_WAY, Wish
from support.world import World

MOST_ROUNDS = 5000


class DaemonKilled(Exception):
    """SIGKILL: what was in its memory is lost."""


class Daemon:
    """One life of the daemon. `settle` yields after each effect: there it may be killed, or a wish may come in."""

    def __init__(self, world: World, clock_offset: float = 0.0) -> None:
        self._world = world
        self._clock_offset = clock_offset
        """Seconds by which the wall clock was wrong when this life of the daemon began."""
        self._cleaned: int | None = None
        self._wake_at: float | None = None
        self._ground: GroundSeen | None = None
        self.refused: Refused | None = None
        self.unfit: list[Refused] = []
        """What the next launches find."""
        self.blind = 0
        """How many looks see nothing."""

    @property
    def wake_at(self) -> float | None:
        """When it will look again by itself, by the world's clock."""
        return self._wake_at - self._clock_offset if self._wake_at is not None else None

    def settle(self) -> Iterator[str]:
        """Decides and acts until nothing more follows."""
        world, self._wake_at = self._world, None
        while (record := world.record) is not None:
            number = record.last_attempt.number if record.last_attempt else None
            turn = world.take_turn()
            seen = world.observe(self._see(), number).model_copy(update={"ground": self._ground, "turn": turn})
            decision = decide(world.spec, record, seen, world.now + self._clock_offset)
            if decision.record != record:
                check_change(world, decision.record.phase.kind)
                world.record = decision.record
                yield "saved"
            for action in decision.actions:
                for effect in self._perform(action):
                    yield effect
                    if self.refused is not None:
                        break
            if decision.record == record:
                self._wake_at = decision.wake_at
                if turn != GO:  # the queue tells when that changes
                    self._wake_at = min(decision.wake_at or math.inf, world.now + self._clock_offset + 1.0)
                return

    def take_up(self) -> None:
        """The start of a daemon: what was parked goes on."""
        record = self._world.record
        if record is not None:
            self._world.record = record.but(wish=wish_on_return(record))

    def _see(self) -> AttemptSeen:
        record = self._world.record
        if record is None or record.phase.kind not in UNDER_WAY or record.last_attempt is None:
            return Absent()
        if self.refused is not None:
            return self.refused
        if self.blind:
            self.blind -= 1
            return Unverifiable(why="it could not be read")
        seen = self._world.see(record.last_attempt.number)
        is_cleaned = isinstance(seen, Ended | Lost) and self._cleaned == record.last_attempt.number
        return seen.model_copy(update={"is_clean": True}) if is_cleaned else seen

    def _perform(self, action: Action) -> Iterator[str]:
        world = self._world
        match action:
            case Probe():
                fault = self.unfit.pop() if self.unfit else None
                is_storage = fault is not None and fault.cause in STORAGE
                self._ground = GroundSeen(at=world.now + self._clock_offset, fault=fault if is_storage else None)
                yield "probe"
            case Launch(attempt=number, step_over=suspects):
                self.refused = self.unfit.pop() if self.unfit else _find_no_start(world, suspects)
                yield "ground"
                if self.refused is None:
                    world.take_post(number, suspects)
                    yield "post"
                    world.go(number)
                    yield "go"
            case Stop(attempt=number, reason=reason):
                world.stop(number, reason)
                yield "stop"
            case Clean(attempt=number):
                world.clean(number)
                self._cleaned = number
                yield "clean"
            case Forget():
                world.record = None
                yield "forget"


def _find_no_start(world: World, suspects: tuple[str, ...]) -> Refused | None:
    """Nothing but what is stepped over is left: no job begins again at step 0 by itself."""
    if suspects and world.newest is None:
        return Refused(why="no checkpoint is left but those with which attempts died", permanent=True)
    return None


def check_change(world: World, after: str) -> None:
    """Of the phase, from what is recorded."""
    record = world.record
    assert record is not None
    if record.phase.kind == "succeeded":
        assert after == "succeeded" or record.wish == "restart", "a success is final"
    if after == "succeeded" and record.phase.kind != "succeeded":
        assert world.has_finished, "an exit that nobody saw, or that was asked for, is no success"
    if after in ("waiting", "parked", "stopped", "succeeded", "failed", "queued"):
        assert not world.list_living(), f"{after} while something lives"


class Simulation:
    """Runs the world and its daemon until the job rests and the user wants nothing more.

    `disturb` is called at every point: after each effect, with its name, and whenever all is quiet, with "quiet". It
    may break what it likes, and kills the daemon by raising DaemonKilled. `on_death` is what happens until another one
    is started.
    """

    def __init__(
        self, world: World, disturb: Callable[[Simulation, str], None], on_death: Callable[[World], None] | None = None
    ) -> None:
        self.world = world
        self.daemon = Daemon(world)
        self.clock_offset = 0.0
        """What the next life of the daemon begins with."""
        self.points: list[str] = []
        self.wished: list[int] = []
        """At which of the points a wish came in."""
        self._disturb = disturb
        self._on_death = on_death

    def wish(self, wish: Wish) -> None:
        """As `Loop.wish`: durable at once, also while a step is in flight."""
        self.wished.append(len(self.points) - 1)
        if self.world.record is not None:
            self.world.record = self.world.record.but(wish=wish)

    def run(self) -> None:
        for _ in range(MOST_ROUNDS):
            try:
                for point in self.daemon.settle():
                    self._reach(point)
                before = self._hear()
                self._reach("quiet")
                if self._hear() != before:
                    continue
                if self._is_at_rest():
                    return
                self._pass_time()
            except DaemonKilled:
                self._restart()
        raise AssertionError(f"it never comes to rest: {self.world.record}")

    def _reach(self, point: str) -> None:
        self.points.append(point)
        self._disturb(self, point)

    def _restart(self) -> None:
        self.world.drop_posts()
        if self._on_death is not None:
            self._on_death(self.world)
        self.daemon = Daemon(self.world, self.clock_offset)
        self.daemon.take_up()

    def _is_at_rest(self) -> bool:
        record = self.world.record
        return record is None or (record.is_resting and record.wish == "run")

    def _hear(self) -> object:
        """What wakes the daemon when it changes: a wish, and the keepers' word, or that one is gone."""
        keepers = {a.number: a.stop_reason for a in self.world.attempts.values() if a.has_keeper}
        return keepers, self.world.record.wish if self.world.record is not None else None

    def _pass_time(self) -> None:
        """To the next thing that wakes the daemon: a time it has set, or a keeper that has something to tell."""
        is_heard = any(attempt.has_keeper for attempt in self.world.attempts.values())
        times = [self.daemon.wake_at, self.world.next_event() if is_heard else None]
        known = [time for time in times if time is not None]
        assert known, f"it waits for what never comes: {self.world.record}"
        self.world.advance(min(known))
