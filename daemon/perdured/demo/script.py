"""What is done to the job, and when: data, and the one question of what is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

Kind = Literal["kill", "corrupt", "daemon", "preempt"]


class Disturbance(NamedTuple):
    kind: Kind
    at: float
    """The share of the steps after which it is due, 0 to 1."""
    title: str


SCRIPT = (
    Disturbance("kill", 0.17, "SIGKILL to the training process"),
    Disturbance("corrupt", 0.37, "newest checkpoint corrupted, then SIGKILL"),
    Disturbance("daemon", 0.57, "SIGKILL to the daemon, then a new one"),
    Disturbance("preempt", 0.77, "SIGTERM, as in a preemption"),
)


class Moment(NamedTuple):
    """What is known of the disturbed job at one time."""

    state: str
    attempt: int
    pid: int | None
    step: int | None
    """The last that this attempt printed; None while it has finished none."""
    resumed_from: int | None
    checkpoints: int = 0
    """How many there are to resume from."""
    told_step: int | None = None
    """The newest step that the daemon tells; None while it has heard of none."""


def find_due(script: Sequence[Disturbance], done: int, moment: Moment, total: int) -> Disturbance | None:
    """The next disturbance, if it is time for it: never before the job has made a step of its own since the last.

    A checkpoint is corrupted only where an older one can take its place; with a single one, the right thing for
    Perdure to do would be to stop.
    """
    if done == len(script) or moment.step is None or moment.pid is None or moment.state != "running":
        return None
    needed = 2 if script[done].kind == "corrupt" else 1
    is_time = moment.step >= script[done].at * total
    return script[done] if is_time and moment.checkpoints >= needed else None
