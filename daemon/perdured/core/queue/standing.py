"""The demand of a job, read off its spec and its record."""

from __future__ import annotations

from perdured.core.record import UNDER_WAY, JobRecord, Saving, Waiting
from perdured.core.spec import Spec

from .amounts import Amounts
from .demand import Demand, Standing
from .turn import ASIDE

_LEAVING = ("stop", "park", "remove")
"""Wishes after which no attempt follows by itself."""


def ask_of(spec: Spec) -> Amounts:
    wanted = spec.resources
    return Amounts(1, wanted.cpus, wanted.memory or 0)


def read_demand(spec: Spec, record: JobRecord) -> Demand | None:
    """None where nothing of it runs, and nothing is to."""
    standing = _find_standing(record)
    if standing is None:
        return None
    return Demand(record.id, record.name, ask_of(spec), standing, spec.priority, record.submitted_at)


def _find_standing(record: JobRecord) -> Standing | None:
    phase = record.phase
    if phase.kind in UNDER_WAY:
        if record.wish in _LEAVING:
            return "leaves"
        return "yields" if isinstance(phase, Saving) and phase.why == ASIDE else "holds"
    if record.is_resting or record.wish in _LEAVING:
        return None
    return "held" if isinstance(phase, Waiting) and phase.probes else "ready"
