"""What ails a job that runs: its vital signs against its spec."""

from __future__ import annotations

from .hang import Watched, find_hang, find_non_finite, limit_of_steps
from .observation import Held, Observation, Vitals
from .pulse import WatchKind
from .spec import Health, Spec


def diagnose(spec: Spec, observation: Observation) -> Observation:
    """The observation with what is wrong noted on the attempt that a keeper holds."""
    seen = observation.attempt
    if not isinstance(seen, Held) or seen.stop_reason is not None or seen.has_ended or seen.stand:
        return observation
    vitals = observation.vitals
    trouble = find_non_finite(spec.health, vitals.unhealthy) or find_hang(list_watched(spec.health, vitals))
    if trouble is None:
        return observation
    return observation.model_copy(update={"attempt": seen.model_copy(update={"trouble": trouble})})


def list_watched(health: Health, vitals: Vitals) -> tuple[Watched, ...]:
    """Every sign of life that is waited for."""
    found = [(kind, vitals.watches.get(kind), limit) for kind, limit in list_limits(health, vitals).items()]
    phase = vitals.pulse.phase if vitals.pulse is not None else ""
    return tuple(Watched(kind, watch, limit, phase) for kind, watch, limit in found if watch is not None)


def list_limits(health: Health, vitals: Vitals) -> dict[WatchKind, float]:
    """What has to be looked at, and how long is too long."""
    steps = limit_of_steps(health, vitals.pulse) if vitals.pulse is not None else None
    limits: dict[WatchKind, float | None] = {
        "steps": steps,
        "output": None if health.output_after == "never" else health.output_after,
        "file": None if health.file_after == "never" else health.file_after,
    }
    return {kind: limit for kind, limit in limits.items() if limit is not None}
