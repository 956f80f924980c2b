"""Effects as values: what `decide` asks the loop to perform. Each is safe to perform twice."""

from typing import Literal

from .value import Value


class Launch(Value):
    """Start this attempt; the record already says that it is starting."""

    kind: Literal["launch"] = "launch"
    attempt: int
    restart_reason: str | None = None


class Stop(Value):
    """Ask the attempt's keeper to end it: a signal to the leader, SIGKILL to all when the grace is over."""

    kind: Literal["stop"] = "stop"
    attempt: int
    reason: str
    grace: float


class Save(Value):
    """Ask the job for a checkpoint at its next safe point."""

    kind: Literal["save"] = "save"
    attempt: int


class Clean(Value):
    """Make sure that nothing of an attempt whose keeper is gone still lives."""

    kind: Literal["clean"] = "clean"
    attempt: int


class Forget(Value):
    """Remove the job from the registry. Its checkpoints stay."""

    kind: Literal["forget"] = "forget"


Action = Launch | Stop | Save | Clean | Forget
