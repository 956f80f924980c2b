"""The demand of a job, read off its spec and its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from perdured.core.record import UNDER_WAY, JobRecord, Saving, Waiting
from perdured.core.spec import Spec

from .amounts import Amounts
from .demand import Demand, Dependency, Moment, Standing
from .turn import ASIDE

_LEAVING = ("stop", "park", "remove")
"""Wishes after which no attempt follows by itself."""


def ask_of(spec: Spec) -> Amounts:
    wanted = spec.resources
    return Amounts(1, wanted.cpus, wanted.memory or 0, wanted.gpus)


def read_demand(spec: Spec, record: JobRecord, known: Mapping[str, JobRecord]) -> Demand | None:
    """None where nothing of it runs, and nothing is to. `known` has the jobs that it comes after, as they are now."""
    standing = _find_standing(record)
    if standing is None:
        return None
    return Demand(
        id=record.id,
        name=record.name,
        asks=ask_of(spec),
        standing=standing,
        priority=spec.priority,
        submitted_at=record.submitted_at,
        group=spec.group or (record.name if spec.parallel is not None else None),
        parallel=spec.parallel,
        not_before=Moment(spec.at.timestamp(), spec.at.isoformat(" ", "seconds")) if spec.at is not None else None,
        gpus=record.last_attempt.gpus if record.last_attempt is not None else (),
        unmet=tuple(_list_unmet(spec.after, known)),
    )


def _list_unmet(after: Sequence[str], known: Mapping[str, JobRecord]) -> Iterator[Dependency]:
    """A job that is not known any more was forgotten after it had succeeded: before that it cannot be."""
    for job in after:
        record = known.get(job)
        if record is not None and record.phase.kind != "succeeded":
            yield Dependency(f"{record.id} ({record.name})", record.phase.kind)


def _find_standing(record: JobRecord) -> Standing | None:
    phase = record.phase
    if phase.kind in UNDER_WAY:
        if record.wish in _LEAVING:
            return "leaves"
        return "yields" if isinstance(phase, Saving) and phase.why == ASIDE else "holds"
    if record.is_resting or record.wish in _LEAVING:
        return None
    return "held" if isinstance(phase, Waiting) and phase.probes else "ready"
