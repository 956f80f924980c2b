"""What is known of a job: the value that `decide` turns into the next one and that the registry keeps.

Phases are variants that carry only the data that is valid in them, so there is no "deadline, if stopping" to
forget. A wish is what the user last asked for; it stays until a phase has fulfilled it.
"""

from __future__ import annotations

from signal import Signals
from typing import Annotated, Literal

from pydantic import Field, model_validator

from perdured.contract import exits
from perdured.contract.pacing import Pace
from perdured.core.ends.cause import Cause
from perdured.core.ends.end import End

from .tally import Tally
from .value import Value

Wish = Literal["run", "stop", "park", "restart", "remove"]


class Queued(Value):
    kind: Literal["queued"] = "queued"
    goes_on: bool = False
    """An attempt came before, and the next one waits for its turn without having been asked for."""


class Starting(Value):
    kind: Literal["starting"] = "starting"
    attempt: int
    launches: int = 1
    """How often the launch was tried; a keeper that never comes up must not be started for ever."""
    restart_reason: str | None = None


class Running(Value):
    kind: Literal["running"] = "running"
    attempt: int
    heeded: str | None = None
    """The notice that asks nothing more of it for now: it was told of, and saved for where there was time."""


class ParkedInPlace(Value):
    """It has saved, if it could, and stands still: its machine may be taken away. A notice that is withdrawn lets it go
    on where it stands. Users see it as parked."""

    kind: Literal["parked_in_place"] = "parked_in_place"
    attempt: int
    step: int
    saved: bool


class Saving(Value):
    """The leader was signalled and is saving; the keeper holds the deadline."""

    kind: Literal["saving"] = "saving"
    attempt: int
    why: str
    asked_at: float
    found: str | None = None
    """What was found wrong with it, where that is why."""
    by_notice: bool = False
    """It is asked to end because it cannot stand still; it goes on when the notice is withdrawn."""


class Waiting(Value):
    kind: Literal["waiting"] = "waiting"
    until: float
    what_for: str = "the backoff after a failure"
    probes: bool = False
    """Held: at `until` it is looked whether the disk takes a file again, and only then the next attempt starts."""


class Parked(Value):
    """Preempted: it goes on when the machine, or the container, comes back."""

    kind: Literal["parked"] = "parked"
    stepped_aside: bool = False
    """For another job: it goes on when its turn comes."""
    by_notice: bool = False
    """It goes on as well when the notice is withdrawn."""


class Stopped(Value):
    kind: Literal["stopped"] = "stopped"


class Succeeded(Value):
    kind: Literal["succeeded"] = "succeeded"


class Failed(Value):
    kind: Literal["failed"] = "failed"


Phase = Annotated[
    Queued | Starting | Running | Saving | ParkedInPlace | Waiting | Parked | Stopped | Succeeded | Failed,
    Field(discriminator="kind"),
]
PHASES = (Queued, Starting, Running, Saving, ParkedInPlace, Waiting, Parked, Stopped, Succeeded, Failed)

UNDER_WAY = ("starting", "running", "saving", "parked_in_place")
"""Kinds of phase that have an attempt; what is seen of an attempt counts in these alone."""
HAS_STARTED = ("running", "saving", "parked_in_place")
RESTING = ("parked", "stopped", "succeeded", "failed")
"""Kinds of phase in which nothing runs and nothing will, until somebody asks; but for what was parked to step aside."""


class AttemptRecord(Value):
    number: int
    pid: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    end: End | None = None
    step: int | None = None
    """The last one that it reported."""
    gpus: tuple[str, ...] = ()
    """The UUIDs of those that it was given."""
    resumed_from_step: int | None = None
    resumed_from: str | None = None
    """The checkpoint's path."""
    kept_until: float | None = None
    """When the newest checkpoint that this attempt committed was committed; what came after it was lost."""
    decision: str | None = None
    """What followed from its end, in words."""
    queued_at: float | None = None
    """When the job came into the queue for it; None where it came from a wait."""
    launched_at: float | None = None
    """When it was decided to start it."""
    hung_since: float | None = None
    """Its last sign of life, where it was ended because no other came."""
    tally: Tally | None = None
    """What its time went into: to its end, or as it was last noted."""
    not_saved: str | None = None
    """Why its last snapshot in memory was lost, if it was."""

    @property
    def cause(self) -> Cause | None:
        return self.end.cause if self.end is not None else None

    @property
    def why(self) -> str | None:
        return self.end.why if self.end is not None else None

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, data: object) -> object:
        """Until 0.1 an attempt had the words of its end alone, under "cause"."""
        if not isinstance(data, dict) or data.get("end") is not None or not isinstance(data.get("cause"), str):
            return data
        why = data["cause"]
        return data | {"end": {"cause": _guess_cause(why, data.get("exit_code"), data.get("signal")), "why": why}}


class Skip(Value):
    """Batches that are passed over by the attempts that go on from this checkpoint: with them the loss was lost."""

    checkpoint: str | None
    """Its path; None: from the beginning."""
    batches: int


class JobRecord(Value):
    id: str
    name: str
    submitted_at: float
    wish: Wish = "run"
    phase: Phase = Queued()
    phase_since: float | None = None
    reason: str = "submitted"
    failures: int = 0
    """Failures in a row without progress that count on the spec's budget."""
    spent: dict[str, int] = Field(default_factory=dict)
    """The same for the classes of ends that have a budget of their own."""
    progress: int | None = None
    """Step of the newest committed checkpoint that is not suspect: the only thing that counts as getting on."""
    suspects: tuple[str, ...] = ()
    """Checkpoints (paths) that are stepped over."""
    hops: int = 0
    """How many of them, since there was progress."""
    skip: Skip | None = None
    judged_after: int = 0
    """Attempts up to this one were before a restart by hand: they do not count any more."""
    loss: float | None = None
    total: int | None = None
    """Loss and number of steps as last reported by an attempt that has ended; what runs now tells its own."""
    pace: Pace | None = None
    """Of an attempt that has ended: how it saved, and what that cost."""
    attempts: tuple[AttemptRecord, ...] = ()
    ended_at: float | None = None

    @property
    def is_resting(self) -> bool:
        return self.phase.kind in RESTING and not self.awaits_turn

    @property
    def awaits_turn(self) -> bool:
        return isinstance(self.phase, Queued) or (isinstance(self.phase, Parked) and self.phase.stepped_aside)

    @property
    def last_attempt(self) -> AttemptRecord | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def will_run(self) -> bool:
        """Whether it runs, or will without being asked again: what is parked goes on with the next daemon."""
        goes_on = self.phase.kind == "parked" and self.wish in ("run", "park")
        return not self.is_resting or goes_on or self.wish == "restart"

    @property
    def has_run(self) -> bool:
        """Whether the command was ever started."""
        return any(attempt.pid is not None for attempt in self.attempts)

    def with_attempt(self, changed: AttemptRecord) -> JobRecord:
        """The record with the attempt of the same number replaced, or added at the end."""
        others = tuple(a for a in self.attempts if a.number != changed.number)
        return self.but(attempts=tuple(sorted((*others, changed), key=lambda a: a.number)))

    def at_rest(self, phase: Phase, reason: str, now: float) -> JobRecord:
        """The record come to rest. That fulfils every wish but its removal, which follows."""
        wish: Wish = "remove" if self.wish == "remove" else "run"
        return self.but(phase=phase, wish=wish, reason=reason, ended_at=now)

    def renewed(self) -> JobRecord:
        """Asked for by hand: nothing that failed before counts any more."""
        after = self.attempts[-1].number if self.attempts else 0
        return self.but(failures=0, spent={}, suspects=(), hops=0, judged_after=after)

    def but(self, **changes: object) -> JobRecord:
        return self.model_copy(update=changes)


def _guess_cause(why: str, exit_code: object, signal: object) -> Cause:
    if signal is not None:
        return Cause.SIGNAL
    known = {"done": Cause.DONE, "the machine was restarted": Cause.REBOOTED, "preempted": Cause.PREEMPTED}
    known |= {"saved and asked to run again": Cause.RUN_AGAIN, "stop": Cause.STOPPED, "restart": Cause.STOPPED}
    if why in known:
        return known[why]
    if exit_code == exits.PERMANENT:
        return Cause.PERMANENT
    return Cause.EXIT_CODE if isinstance(exit_code, int) and exit_code != exits.DONE else Cause.UNKNOWN


def exit_status(record: JobRecord) -> int | None:
    """What `perdure wait` ends with; None while the job has not come to rest, or was asked to go on.

    75 says "saved, run me again"; otherwise the job's own exit code, 128 + n for signal n, and 125 when Perdure
    could not start it. A job that was asked to end and had saved nothing is no success, whatever its own exit code:
    where that is 0, or nobody knows it, the status is that of a death by SIGTERM.
    """
    if record.wish != "run" or not record.is_resting:
        return None
    match record.phase.kind:
        case "succeeded":
            return exits.DONE
        case "failed":
            own = _own_status(record.last_attempt)
            return exits.PERDURE_FAILED if own is None else own
        case "stopped" | "parked" if record.progress is not None:
            return exits.RUN_AGAIN
        case "stopped" | "parked":
            return _own_status(record.last_attempt) or exits.status_of_signal(Signals.SIGTERM)
    return None


def _own_status(last: AttemptRecord | None) -> int | None:
    if last is None:
        return None
    return exits.status_of_signal(last.signal) if last.signal is not None else last.exit_code
