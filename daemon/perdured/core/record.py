"""What is known of a job: the value that `decide` turns into the next one and that the registry keeps.

Phases are variants that carry only the data that is valid in them, so there is no "deadline, if stopping" to
forget. A wish is what the user last asked for; it stays until a phase has fulfilled it.
"""

from __future__ import annotations

from signal import Signals
from typing import Annotated, Literal

from pydantic import Field

from perdured.contract import exits

from .value import Value

Wish = Literal["run", "stop", "park", "restart", "remove"]


class Queued(Value):
    kind: Literal["queued"] = "queued"


class Starting(Value):
    kind: Literal["starting"] = "starting"
    attempt: int
    launches: int = 1
    """How often the launch was tried; a keeper that never comes up must not be started for ever."""
    restart_reason: str | None = None


class Running(Value):
    kind: Literal["running"] = "running"
    attempt: int


class Saving(Value):
    """The leader was signalled and is saving; the keeper holds the deadline."""

    kind: Literal["saving"] = "saving"
    attempt: int
    why: str
    asked_at: float


class Waiting(Value):
    kind: Literal["waiting"] = "waiting"
    until: float
    cause: str
    """Why the last attempt ended; handed to the next one as its restart reason."""


class Parked(Value):
    """Preempted: it goes on when the machine, or the container, comes back."""

    kind: Literal["parked"] = "parked"


class Stopped(Value):
    kind: Literal["stopped"] = "stopped"


class Succeeded(Value):
    kind: Literal["succeeded"] = "succeeded"


class Failed(Value):
    kind: Literal["failed"] = "failed"


Phase = Annotated[
    Queued | Starting | Running | Saving | Waiting | Parked | Stopped | Succeeded | Failed,
    Field(discriminator="kind"),
]
PHASES = (Queued, Starting, Running, Saving, Waiting, Parked, Stopped, Succeeded, Failed)

UNDER_WAY = ("starting", "running", "saving")
"""Kinds of phase that have an attempt; what is seen of an attempt counts in these alone."""
RESTING = ("parked", "stopped", "succeeded", "failed")
"""Kinds of phase in which nothing runs and nothing will, until somebody asks."""


class AttemptRecord(Value):
    number: int
    pid: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    cause: str | None = None
    resumed_from_step: int | None = None
    kept_until: float | None = None
    """When the newest checkpoint that this attempt committed was committed; what came after it was lost."""


class JobRecord(Value):
    id: str
    name: str
    submitted_at: float
    wish: Wish = "run"
    phase: Phase = Queued()
    reason: str = "submitted"
    failures: int = 0
    """Failures in a row without progress."""
    progress: int | None = None
    """Step of the newest committed checkpoint: the only thing that counts as getting on."""
    attempts: tuple[AttemptRecord, ...] = ()
    ended_at: float | None = None

    @property
    def is_resting(self) -> bool:
        return self.phase.kind in RESTING

    @property
    def last_attempt(self) -> AttemptRecord | None:
        return self.attempts[-1] if self.attempts else None

    def with_attempt(self, changed: AttemptRecord) -> JobRecord:
        """The record with the attempt of the same number replaced, or added at the end."""
        others = tuple(a for a in self.attempts if a.number != changed.number)
        return self.but(attempts=tuple(sorted((*others, changed), key=lambda a: a.number)))

    def at_rest(self, phase: Phase, reason: str, now: float) -> JobRecord:
        """The record come to rest. That fulfils every wish but its removal, which follows."""
        wish: Wish = "remove" if self.wish == "remove" else "run"
        return self.but(phase=phase, wish=wish, reason=reason, ended_at=now)

    def but(self, **changes: object) -> JobRecord:
        return self.model_copy(update=changes)


def exit_status(record: JobRecord) -> int | None:
    """What `perdure wait` ends with; None while the job has not come to rest, or was asked to go on.

    75 says "saved, run me again"; otherwise the job's own exit code, 128 + n for signal n, and 125 when Perdure
    could not start it. A job that was asked to end and had saved nothing is no success, whatever its own exit code:
    where that is 0, or nobody knows it, the status is that of a death by SIGTERM.
    """
    if record.wish != "run":
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
