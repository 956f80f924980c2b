"""Whether a container's or a pod's end leaves time to save, and whether its signal arrives at all."""

from __future__ import annotations

from typing import Literal, NamedTuple

from perdured.core.units import human_duration

from .finding import Finding
from .saves import SaveSeen
from .sources import SourceSeen

Kind = Literal["pod", "container"]

_USUAL = {"pod": 30.0, "container": 10.0}
"""Seconds: what Kubernetes gives, and what `docker stop` does, unless told otherwise."""
_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "busybox")
_RAISE = {
    "pod": "Set terminationGracePeriodSeconds, and PERDURE_NOTICES_GRACE to it, as `perdure export kubernetes` does.",
    "container": "Stop it with `docker stop --time 120`, or run it with --stop-timeout 120.",
}


class ContainerSeen(NamedTuple):
    kind: Kind
    first_process: str
    """The name of PID 1."""
    grace: float | None = None
    """Seconds, where it was told; from inside it cannot be seen."""


def make_source(seen: ContainerSeen | None) -> SourceSeen:
    if seen is None or seen.kind != "pod":
        return SourceSeen("kubernetes", "absent")
    default = "Kubernetes' default; what this pod has is not told"
    why = "what PERDURE_NOTICES_GRACE says" if seen.grace is not None else default
    return SourceSeen("kubernetes", "works", _find_grace(seen), why)


def judge_container(seen: ContainerSeen, save: SaveSeen | None) -> list[Finding]:
    return [_judge_first_process(seen), _judge_grace(seen, save)]


def _judge_first_process(seen: ContainerSeen) -> Finding:
    check = f"{seen.kind} signal"
    if seen.first_process in _SHELLS:
        why = "The end of a container is told to PID 1 alone, and a shell passes no signal on."
        todo = 'Start it with exec, or without a shell: ENTRYPOINT ["perdure", "run", …].'
        return Finding("notices", check, "problem", f"PID 1 is a shell ({seen.first_process}).", why, todo)
    return Finding("notices", check, "ok", f"PID 1 is {seen.first_process}, which is no shell.")


def _judge_grace(seen: ContainerSeen, save: SaveSeen | None) -> Finding:
    check, grace = f"{seen.kind} grace", _find_grace(seen)
    otherwise = "" if seen.grace is not None else ", unless somebody set another time"
    needed = save.needed if save is not None else None
    if seen.grace is None and needed is None:
        return _doubt(seen.kind, grace)
    if save is None or needed is None or needed <= grace:
        return Finding("notices", check, "ok", f"It has {human_duration(grace)} to end{otherwise}.")
    what = f"A save of {save.job} needs {human_duration(needed)}, and it has {human_duration(grace)} to end{otherwise}."
    level: Literal["problem", "warning"] = "problem" if seen.grace is not None else "warning"
    return Finding("notices", check, level, what, "After that everything in it is killed.", _RAISE[seen.kind])


def _doubt(kind: Kind, grace: float) -> Finding:
    """No job is known whose save could be compared with what is only assumed."""
    what = f"How long this {kind} has to end cannot be seen from inside: {human_duration(grace)} is assumed."
    todo = "Tell it in PERDURE_NOTICES_GRACE, such as 120s, with the time that it is stopped with."
    return Finding("notices", f"{kind} grace", "warning", what, "That is what it has unless somebody set it.", todo)


def _find_grace(seen: ContainerSeen) -> float:
    return seen.grace if seen.grace is not None else _USUAL[seen.kind]
