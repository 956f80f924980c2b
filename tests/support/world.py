"""The world that the core lives in, as a model: no file, no process, no clock. What it leaves out is only how long
things take; what can die between two effects dies here too.

| real | here |
|---|---|
| registry | `World.record`: what was saved last, and nothing else, survives the daemon |
| attempt directory, kernel | `Attempt`: who lives, what was recorded; `World.see` is the table of `observation.py` |
| keeper | records the end, keeps the deadline, kills what the leader leaves behind, and only then lets go of its lock |
| launch protocol | `World.take_post`, `World.go`: a keeper whose daemon dies before `go` ends by itself |
| training script | `Script`: when it crashes, how it takes SIGTERM; a tick is one step and TICK seconds |

Each of the world's rules is checked where it could be broken, and a breach is an AssertionError.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from perdured.core.ends.evidence import Evidence
from perdured.core.observation import (
    Absent,
    AttemptSeen,
    CheckpointSeen,
    Ended,
    Exit,
    Held,
    Lost,
    Observation,
    Orphaned,
)
from perdured.core.queue.turn import GO, Turn
from perdured.core.record import UNDER_WAY, JobRecord
from perdured.core.spec import Spec
from support.jobs import NOT_YET, NOW, OUTRANKED, make_spec

TICK = 10.0
OnStop = Literal["saves", "exits", "dies", "ignores"]


@dataclass(frozen=True)
class Script:
    """How one run of the job behaves. The usual one trains to the end and saves when it is asked to stop."""

    ends_after: int | None = None
    """Ticks until it ends by itself, with `code`; None: only when all steps are done, with 0."""
    code: int = 1
    total: int = 6
    saves_every: int = 2
    on_stop: OnStop = "saves"
    leaves_children: bool = False
    """Processes that outlive the leader and would go on writing."""
    prints: tuple[str, ...] = ()
    """Its last lines."""
    dies_with: int | None = None
    """The step of a checkpoint that it cannot go on from: it ends before it has made a step."""


@dataclass
class Attempt:
    number: int
    script: Script
    resumed_from: int | None
    has_keeper: bool = False
    has_run: bool = False
    leader_lives: bool = False
    children_live: bool = False
    step: int = 0
    ticks: int = 0
    exit: Exit | None = None
    stop_reason: str | None = None
    stop_heard_at: float | None = None
    next_tick: float = 0.0
    rebooted: bool = False

    @property
    def lives(self) -> bool:
        return self.leader_lives or self.children_live

    @property
    def pid(self) -> int:
        return 1000 + self.number


@dataclass
class World:
    scripts: list[Script]
    spec: Spec = field(default_factory=make_spec)
    now: float = NOW
    saved: set[int] = field(default_factory=set)
    """Steps of the checkpoints."""
    attempts: dict[int, Attempt] = field(default_factory=dict)
    record: JobRecord | None = field(default_factory=lambda: JobRecord(id="job", name="job", submitted_at=NOW))
    has_finished: bool = False
    """A run has exited with 0 though nobody had asked it to stop."""
    has_stepped_over: bool = False
    """A start left a checkpoint out."""
    crowded: int = 0
    """For how many more looks there is no room for it."""

    # What the daemon does -----------------------------------------------------------------------------------------

    @property
    def newest(self) -> int | None:
        """Step of the newest checkpoint that is not stepped over."""
        suspects = self.record.suspects if self.record is not None else ()
        return max((step for step in self.saved if str(step) not in suspects), default=None)

    def list_living(self) -> list[int]:
        """The attempts of which anything is left."""
        return [attempt.number for attempt in self.attempts.values() if attempt.lives or attempt.has_keeper]

    def take_post(self, number: int, suspects: tuple[str, ...] = ()) -> None:
        """A keeper holds the attempt's lock and waits for `go`."""
        self.has_stepped_over = self.has_stepped_over or bool(suspects)
        assert self.record is None or suspects == self.record.suspects, "what was recorded is what is done"
        living = self.list_living()
        assert not living, f"attempt {number} is launched while {living} lives"
        attempt = self.attempts.get(number)
        assert attempt is None or not attempt.has_run, f"attempt {number} is run a second time"
        runs = sum(attempt.has_run for attempt in self.attempts.values())
        script = self.scripts[runs] if runs < len(self.scripts) else Script()
        self.attempts[number] = Attempt(number, script, self.newest, has_keeper=True)

    def go(self, number: int) -> None:
        attempt = self.attempts[number]
        attempt.has_run = attempt.leader_lives = True
        attempt.children_live = attempt.script.leaves_children
        attempt.step = attempt.resumed_from or 0
        attempt.next_tick = self.now + TICK

    def drop_posts(self) -> None:
        """The daemon died: keepers that were not told `go` end by themselves."""
        for attempt in self.attempts.values():
            attempt.has_keeper = attempt.has_keeper and attempt.has_run

    def stop(self, number: int, reason: str) -> None:
        attempt = self.attempts[number]
        if attempt.has_keeper and attempt.stop_reason is None:
            attempt.stop_reason = reason
        if attempt.leader_lives and attempt.stop_heard_at is None:
            attempt.stop_heard_at = self.now

    def clean(self, number: int) -> None:
        attempt = self.attempts[number]
        assert not attempt.has_keeper, "only a keeper ends what it holds"
        attempt.leader_lives = attempt.children_live = False

    # What happens -------------------------------------------------------------------------------------------------

    def next_event(self) -> float | None:
        """When something happens by itself."""
        return min((self._next_of(attempt) for attempt in self.attempts.values() if attempt.leader_lives), default=None)

    def _next_of(self, attempt: Attempt) -> float:
        heard = attempt.stop_heard_at
        if heard is None:
            return attempt.next_tick
        if attempt.script.on_stop != "ignores":
            return heard + 1.0
        deadline = heard + self.spec.stop.grace
        return min(attempt.next_tick, deadline) if attempt.has_keeper else attempt.next_tick

    def advance(self, until: float) -> None:
        """All that happens until then."""
        while (when := self.next_event()) is not None and when <= until:
            self.now = max(self.now, when)
            for attempt in list(self.attempts.values()):
                if attempt.leader_lives and self._next_of(attempt) <= self.now:
                    self._happen(attempt)
        self.now = max(self.now, until)

    def _happen(self, attempt: Attempt) -> None:
        heard, on_stop = attempt.stop_heard_at, attempt.script.on_stop
        if heard is not None and on_stop != "ignores":
            if on_stop == "saves":
                self._save(attempt)
            code = {"saves": 75, "exits": 0, "dies": 143}[on_stop]
            self._end(attempt, Exit(reason="exited", exit_code=code, at=self.now, stop_reason=attempt.stop_reason))
        elif heard is not None and attempt.has_keeper and self.now >= heard + self.spec.stop.grace:
            reason = attempt.stop_reason
            self._end(attempt, Exit(reason="timed_out", signal=9, at=self.now, stop_reason=reason))
        else:
            self._tick(attempt)

    def _tick(self, attempt: Attempt) -> None:
        if attempt.resumed_from is not None and attempt.resumed_from == attempt.script.dies_with:
            self._end(attempt, Exit(reason="exited", exit_code=attempt.script.code, at=self.now))
            return
        attempt.ticks += 1
        attempt.step = min(attempt.step + 1, attempt.script.total)
        attempt.next_tick = self.now + TICK
        if attempt.step % attempt.script.saves_every == 0 or attempt.step >= attempt.script.total:
            self._save(attempt)
        if attempt.ticks == attempt.script.ends_after:
            self._end(attempt, Exit(reason="exited", exit_code=attempt.script.code, at=self.now))
        elif attempt.step >= attempt.script.total:
            self.has_finished = self.has_finished or attempt.stop_reason is None
            self._end(attempt, Exit(reason="exited", exit_code=0, at=self.now, stop_reason=attempt.stop_reason))

    def _save(self, attempt: Attempt) -> None:
        """What is newer than where it went on from is set aside, as `perdure.Run` does."""
        self.saved = {step for step in self.saved if step < attempt.step} | {attempt.step}

    def _end(self, attempt: Attempt, exit: Exit) -> None:
        """With a keeper: recorded, the children killed, the lock free. Without one: gone, and nobody saw it."""
        attempt.leader_lives = False
        if attempt.has_keeper:
            told = {"stop_reason": attempt.stop_reason, "step": attempt.step if attempt.ticks else None}
            attempt.exit = exit.model_copy(update=told)
            attempt.children_live = attempt.has_keeper = False

    # What breaks --------------------------------------------------------------------------------------------------

    def kill_leader(self) -> None:
        for attempt in self.attempts.values():
            if attempt.leader_lives:
                self._end(attempt, Exit(reason="signaled", signal=9, at=self.now))

    def kill_keeper(self) -> None:
        for attempt in self.attempts.values():
            attempt.has_keeper = False

    def kill_keeper_at_the_end(self) -> None:
        """Its leader exits, it records that, and dies before it has killed the children."""
        for attempt in self.attempts.values():
            if attempt.has_keeper and attempt.leader_lives:
                attempt.leader_lives = attempt.has_keeper = False
                attempt.exit = Exit(reason="exited", exit_code=1, at=self.now, stop_reason=attempt.stop_reason)
                attempt.exit = attempt.exit.model_copy(update={"step": attempt.step if attempt.ticks else None})

    def terminate_keeper(self) -> None:
        """SIGTERM to it, as at a shutdown."""
        for attempt in self.attempts.values():
            if attempt.has_keeper and attempt.leader_lives:
                self.stop(attempt.number, "preempted")

    def reboot(self) -> None:
        for attempt in self.attempts.values():
            attempt.has_keeper = attempt.leader_lives = attempt.children_live = False
            attempt.rebooted = True

    # What the queue says ------------------------------------------------------------------------------------------

    def take_turn(self) -> Turn:
        """For so many looks as it is crowded, another job has, or is to have, the place."""
        if not self.crowded or self.record is None:
            return GO
        self.crowded -= 1
        return OUTRANKED if self.record.phase.kind in UNDER_WAY else NOT_YET

    # What is seen -------------------------------------------------------------------------------------------------

    def see(self, number: int) -> AttemptSeen:
        attempt = self.attempts.get(number)
        if attempt is None or not (attempt.has_keeper or attempt.has_run):
            return Absent()
        if not attempt.has_run:
            return Held()
        pid = attempt.pid
        if attempt.has_keeper:
            return Held(pid=pid, started_at=NOW, stop_reason=attempt.stop_reason)
        if attempt.exit is not None:
            evidence = Evidence(output=attempt.script.prints)
            return Ended(pid=pid, exit=attempt.exit, is_clean=not attempt.children_live, evidence=evidence)
        if attempt.leader_lives:
            return Orphaned(pid=pid)
        return Lost(pid=pid, rebooted=attempt.rebooted)

    def observe(self, seen: AttemptSeen, number: int | None) -> Observation:
        newest = self.newest
        checkpoint = None if newest is None else CheckpointSeen(step=newest, path=f"{newest}", committed_at=self.now)
        attempt = self.attempts.get(number or 0)
        step = attempt.resumed_from if attempt else None
        path = None if step is None else str(step)
        return Observation(attempt=seen, checkpoint=checkpoint, resumed_from_step=step, resumed_from=path)
