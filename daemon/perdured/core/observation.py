"""What was seen of a job's newest attempt and of its checkpoints. *Unknown is not dead*: what could not be
observed is `Unverifiable`, and changes nothing.

| lock | run.json | exit.json | leader | observed as |
|---|---|---|---|---|
| any  | –   | –   | –     | Absent, when the lock is free: it never ran |
| held | any | any | any   | Held: a keeper looks after it |
| free | any | yes | any   | Ended |
| free | yes | no  | alive | Orphaned: the keeper died, the job lives |
| free | yes | no  | gone  | Lost: an exit nobody saw; `rebooted` when the boot id differs |

A keeper ends after all of its attempt's processes have. Where it died before that, the end is not *clean*: what the
leader left behind may live, and write. The `Clean` action makes it so.
"""

from typing import Annotated, Literal

from pydantic import Field, SkipValidation

from perdured.contract.pacing import Pace
from perdured.core.ends.cause import Cause
from perdured.core.ends.evidence import Evidence
from perdured.core.queue.turn import GO, Turn

from .notice_plan import Answer
from .pulse import Pulse, Unhealthy, Watch, WatchKind
from .standby import StandbyWord
from .tally import Tally
from .value import Value


class Exit(Value):
    """How an attempt ended, as its keeper recorded it."""

    reason: Literal["exited", "signaled", "timed_out", "not_started"]
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    """Why it could not be started (`not_started` only)."""
    at: float
    stop_reason: str | None = None
    """Why it had been asked to stop, if it had."""
    leftover: int = 0
    """Processes of the attempt that were still alive after its leader and had to be killed."""
    oom_kills: int | None = None
    """Kills by the kernel for memory in the attempt's memory cgroup; None when nobody could count."""
    step: int | None = None
    """The last step that it reported."""
    loss: float | None = None
    total: int | None = None
    pace: Pace | None = None
    """How it saved, and what that cost."""
    tally: Tally | None = None
    """What its time went into."""
    not_saved: str | None = None
    """Why its last snapshot in memory was not committed, if it was not."""


class Trouble(Value):
    """What ails a job that runs. Its kind is the reason of the stop that follows."""

    kind: Literal["hang", "non_finite"]
    why: str
    silence: float = 0.0
    """Seconds since its last sign of life, where that is the trouble."""


class Absent(Value):
    kind: Literal["absent"] = "absent"


class Stand(Value):
    """Where a job stands still."""

    step: int
    saved: bool
    """Whether that state is durable."""


class Held(Value):
    kind: Literal["held"] = "held"
    pid: int | None = None
    started_at: float | None = None
    saving: bool = False
    stop_reason: str | None = None
    """Set once the keeper has accepted a stop."""
    has_ended: bool = False
    """Its leader has; its keeper waits for what is left."""
    stuck: str | None = None
    """What of it not even SIGKILL ends, in words."""
    trouble: Trouble | None = None
    """What `decide` found to be wrong with it, from its vital signs."""
    can_park: bool = False
    """It stands still when it is asked to."""
    is_asked_to_park: bool = False
    stand: Stand | None = None
    """It stands still."""


class Ended(Value):
    kind: Literal["ended"] = "ended"
    pid: int | None = None
    started_at: float | None = None
    exit: Exit
    is_clean: bool = True
    """Nothing of the attempt lives any more."""
    evidence: Evidence = Evidence()


class Orphaned(Value):
    kind: Literal["orphaned"] = "orphaned"
    pid: int
    started_at: float | None = None


class Lost(Value):
    kind: Literal["lost"] = "lost"
    pid: int | None = None
    started_at: float | None = None
    rebooted: bool = False
    is_clean: bool = False
    """Nothing of the attempt lives any more. After a reboot that goes without saying."""
    evidence: Evidence = Evidence()


class Refused(Value):
    """The ground was not fit for a start; `permanent` says that trying again cannot help."""

    kind: Literal["refused"] = "refused"
    why: str
    permanent: bool
    cause: Cause = Cause.REFUSED


class Unverifiable(Value):
    kind: Literal["unverifiable"] = "unverifiable"
    why: str


AttemptSeen = Annotated[Absent | Held | Ended | Orphaned | Lost | Refused | Unverifiable, Field(discriminator="kind")]


class CheckpointSeen(Value):
    """The newest committed checkpoint, by (step, seq)."""

    step: int
    path: str
    committed_at: float


class GroundSeen(Value):
    """What a probe of the storage found."""

    at: float
    fault: Refused | None = None


class Vitals(Value):
    """The signs of life of the attempt under way."""

    pulse: Pulse | None = None
    """What its keeper tells; None where the job tells no steps."""
    unhealthy: Unhealthy | None = None
    at: float = 0.0
    """When it was looked (CLOCK_MONOTONIC)."""
    watches: dict[WatchKind, Watch] = Field(default_factory=dict)


class Observation(Value):
    attempt: AttemptSeen = Absent()
    step: int | None = None
    """The step last reported by the job; None when it reports none."""
    loss: float | None = None
    total: int | None = None
    checkpoint: CheckpointSeen | None = None
    resumed_from_step: int | None = None
    """Of the attempt under way; None on a fresh start."""
    resumed_from: str | None = None
    """That checkpoint's path."""
    pace: Pace | None = None
    """Of the attempt under way, as the keeper tells it."""
    tally: Tally | None = None
    """The same."""
    ground: GroundSeen | None = None
    """The last probe; None before the first of this life of the daemon."""
    vitals: Vitals = Vitals()
    standby: StandbyWord | None = None
    """For people: no decision about the job rests on it."""
    turn: SkipValidation[Turn] = GO
    """What the queue says."""
    answer: Answer | None = None
    """What the notices that stand ask of it; None where none asks anything."""
    fence: str | None = None
    """Why nothing may be started on this machine now."""
    unleased: str | None = None
    """Why the job may not run on this machine now: another may run it."""
