"""What is shown of a job's place in the queue, in the API and in `--json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from .core.queue.turn import Lacks, Turn
from .core.record import JobRecord
from .core.spec import Spec


class ResourcesView(BaseModel):
    """What the spec asks for."""

    model_config = ConfigDict(frozen=True)

    cpus: int
    memory: int | None
    """Bytes."""
    gpus: int


class GpuView(BaseModel):
    model_config = ConfigDict(frozen=True)

    uuid: str
    name: str | None
    memory: int | None
    """Bytes."""
    state: str
    """"free", "used", "quarantined", "gone" (the driver does not know it any more) or "shared" (another user's, or to
    be had by whoever asks first)."""
    job: str | None
    """Who has it: the job's id."""
    why: str | None
    """It is in quarantine: how the attempt ended that had it."""
    since: str | None


class GroupView(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    paused: bool
    running: int
    waiting: int


class QueueView(BaseModel):
    model_config = ConfigDict(frozen=True)

    priority: int
    group: str | None
    resources: ResourcesView
    position: int | None
    """Among the jobs that wait for their turn, from 1 on; null for one that does not."""
    behind: str | None
    """The first job ahead that waits for some of the same: its id."""
    gpus: list[str]
    """The UUIDs of those that its attempt under way was given, or the last one."""


def describe_queue(spec: Spec, record: JobRecord, turn: Turn) -> QueueView:
    wanted = spec.resources
    waits = record.awaits_turn and turn.kind == "wait"
    lacks = turn.obstacle if waits and isinstance(turn.obstacle, Lacks) else None
    return QueueView(
        priority=spec.priority,
        group=spec.group,
        resources=ResourcesView(cpus=wanted.cpus, memory=wanted.memory, gpus=wanted.gpus),
        position=turn.position if waits else None,
        behind=lacks.behind.id if lacks is not None and lacks.behind is not None else None,
        gpus=list(record.last_attempt.gpus) if record.last_attempt is not None else [],
    )
