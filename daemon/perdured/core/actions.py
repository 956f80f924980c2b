"""Effects as values: what `decide` asks the loop to perform. Each is safe to perform twice."""

from typing import Literal

from .record import Skip
from .value import Value


class Launch(Value):
    """Start this attempt; the record already says that it is starting."""

    kind: Literal["launch"] = "launch"
    attempt: int
    restart_reason: str | None = None
    step_over: tuple[str, ...] = ()
    """Checkpoints (paths) that it must not resume from."""
    is_first: bool = False
    """No attempt of the job has run: a fresh start, where the spec asks for one, is still to be made."""
    skip: Skip | None = None
    gpus: tuple[str, ...] = ()
    """The UUIDs of those that it may use; empty where it was given none."""


class Probe(Value):
    """Look whether the storage takes a file again. What came of it is part of the next observation."""

    kind: Literal["probe"] = "probe"


class Save(Value):
    """Ask for a checkpoint at the next safe point, if it can be durable within so many seconds."""

    kind: Literal["save"] = "save"
    attempt: int
    before: float


class Park(Value):
    """Ask the attempt to save within so many seconds, and to stand still at the next safe point until `GoOn`."""

    kind: Literal["park"] = "park"
    attempt: int
    before: float


class GoOn(Value):
    """Let the attempt go on from where it stands."""

    kind: Literal["go_on"] = "go_on"
    attempt: int


class Stop(Value):
    """Ask the attempt's keeper to end it: a signal to the leader, SIGKILL to all when the grace is over."""

    kind: Literal["stop"] = "stop"
    attempt: int
    reason: str
    grace: float


class Look(Value):
    """Look closely at an attempt that has been silent for a while: its keeper is asked for its word of now, and a
    process that can tell its stacks for one. What came of it is part of the next observation."""

    kind: Literal["look"] = "look"
    attempt: int
    with_stacks: bool


class Dump(Value):
    """Write the stacks of all its processes into its output, under these words."""

    kind: Literal["dump"] = "dump"
    attempt: int
    why: str


class Clean(Value):
    """Kill all that still lives of an attempt whose keeper is gone. Once that is done, its end is seen as clean."""

    kind: Literal["clean"] = "clean"
    attempt: int


class Forget(Value):
    """Remove the job from the registry. Its checkpoints stay."""

    kind: Literal["forget"] = "forget"


Action = Launch | Probe | Look | Dump | Save | Park | GoOn | Stop | Clean | Forget
