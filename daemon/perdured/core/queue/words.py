"""What a job waits for, as `perdure show` says it: "needs 2 GPUs, 1 free; behind job k7mq2xwp (gpt)"."""

from __future__ import annotations

from perdured.core.record import JobRecord
from perdured.core.units import human_size

from .amounts import Amounts
from .turn import GroupFull, GroupPaused, Lacks, MakesRoom, NotAfter, NotBefore, Obstacle, TooLarge, Turn

_NOUNS = {"jobs": "place", "cpus": "CPU", "gpus": "GPU"}


def say_reason(record: JobRecord, turn: Turn) -> str:
    """Of a job that waits for its turn what it waits for now: others ahead of it come and go all the time."""
    if turn.kind != "wait" or not record.awaits_turn or turn.obstacle is None:
        return record.reason
    return f"{record.phase.kind}: {say_obstacle(turn.obstacle)}"


def say_obstacle(obstacle: Obstacle) -> str:
    match obstacle:
        case Lacks():
            return _say_lack(obstacle)
        case TooLarge():
            return _say_too_large(obstacle)
        case MakesRoom(successor):
            return f"job {successor.ref}, of priority {successor.priority}, needs its place"
        case GroupPaused(group):
            return f"its group {group} is paused"
        case GroupFull(group, parallel):
            return f"its group {group} may have no more than {parallel} at once"
        case NotAfter(first, others):
            more = f", and {others} more" if others else ""
            return f"comes after job {first.ref}, which {_say_state(first.state)}{more}"
        case NotBefore(moment):
            return f"not before {moment.said}"


def _say_too_large(large: TooLarge) -> str:
    more = ""
    if large.quarantined and "gpus" in large.kinds:
        more = (
            f"; {large.quarantined} more {'is' if large.quarantined == 1 else 'are'} in quarantine, see `perdure gpus`"
        )
    has = _say(large.has, large.kinds)
    return f"needs {_say(large.asks, large.kinds)}, and there is no more than {has} for all jobs together{more}"


def _say_state(state: str) -> str:
    return "failed: resume that one, or stop this" if state == "failed" else f"is {state}"


def _say_lack(lacks: Lacks) -> str:
    behind = f"; behind job {lacks.behind.ref}" if lacks.behind is not None else ""
    if lacks.leaving:
        behind += f"; {' and '.join(f'job {each.ref}' for each in lacks.leaving)} will make room"
    if lacks.kinds == ("jobs",):
        return f"every place for a job is taken{behind}"
    return f"needs {_say(lacks.asks, lacks.kinds)}, {_say_free(lacks)}{behind}"


def _say_free(lacks: Lacks) -> str:
    """Free may be enough and more, where somebody ahead waits for it."""
    free = [_say_amount(kind, max(getattr(lacks.free, kind), 0), bare=len(lacks.kinds) == 1) for kind in lacks.kinds]
    kept = ", but kept for those ahead" if lacks.free.has_room_for(lacks.asks) else ""
    return f"{' and '.join(free)} free{kept}"


def _say(amounts: Amounts, kinds: tuple[str, ...]) -> str:
    return " and ".join(_say_amount(kind, getattr(amounts, kind)) for kind in kinds)


def _say_amount(kind: str, amount: float, *, bare: bool = False) -> str:
    if kind == "memory":
        return human_size(int(amount)) if bare else f"{human_size(int(amount))} of memory"
    if bare:
        return f"{amount:g}"
    return f"{amount:g} {_NOUNS[kind]}" + ("" if amount == 1 else "s")
