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


def describe_queue(spec: Spec, record: JobRecord, turn: Turn) -> QueueView:
    waits = record.awaits_turn and turn.kind == "wait"
    lacks = turn.obstacle if waits and isinstance(turn.obstacle, Lacks) else None
    return QueueView(
        priority=spec.priority,
        group=spec.group,
        resources=ResourcesView(cpus=spec.resources.cpus, memory=spec.resources.memory),
        position=turn.position if waits else None,
        behind=lacks.behind.id if lacks is not None and lacks.behind is not None else None,
    )
