"""A fire drill: what is done to a job, what it went through afterwards, and what that cost. Pure.

Looks at the job come one after the other, each with its time; `follow` keeps of them when each phase was first reached.
A phase is read off the state, so that a look that was missed costs exactness and nothing else.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

from .units import human_duration

Kind = Literal["preempt", "crash", "hang", "corrupt", "disk-full", "daemon"]
KINDS: tuple[Kind, ...] = get_args(Kind)

PLANS: dict[Kind, str] = {
    "preempt": "It is told to save and end, as when its machine is taken away, and is resumed at once.",
    "crash": "Its process is killed (SIGKILL), without a chance to save.",
    "hang": "It stands still at its next safe point and makes no more steps, until Perdure notices and ends it.",
    "corrupt": "It saves, one byte of that checkpoint is inverted, and its process is killed (SIGKILL). "
    "The whole file is kept aside.",
    "disk-full": "The file system of its checkpoints is filled to the last byte, it is asked to save, and the room is "
    "given back. Whoever else writes there finds it full for that time.",
    "daemon": "perdured is killed (SIGKILL); the jobs run on. Somebody has to start it again: systemd does, and where "
    "it was started by hand, you.",
}
"""What is going to be done, as the person is told before it is."""


class Moment(NamedTuple):
    """What is known of the job at one look."""

    at: float
    """Seconds since the drill struck."""
    state: str
    attempt: int
    pid: int | None
    step: int | None
    checkpoint: str | None = None
    """The newest one's path."""
    resumed_from: int | None = None
    """Of the newest attempt."""
    struck_step: int | None = None
    """The last step of the attempt that was struck; None until it has ended."""
    struck_cause: str | None = None
    daemon: int | None = None
    """Its pid; None while it does not answer, and the rest is as it was last known."""
    has_room: bool = True
    """Of a disk that was filled: whether the room was given back."""


class Phases(NamedTuple):
    """When each was first seen, in seconds since the strike; None: not, or not yet."""

    noticed: float | None = None
    saved: float | None = None
    ended: float | None = None
    restarted: float | None = None
    stepped: float | None = None
    first_shown: int | None = None
    """The step that the next attempt was shown with at first: where the job was, until it tells one of its own."""


def follow(kind: Kind, before: Moment, phases: Phases, now: Moment) -> Phases:
    """With what the newest look adds. `before` is the last look before the strike."""
    if now.attempt > before.attempt and phases.first_shown is None:
        phases = phases._replace(first_shown=now.step if now.step is not None else -1)
    looks = {"daemon": _look_at_daemon, "disk-full": _look_at_disk}
    reached = looks.get(kind, _look_at_attempt)(before, phases, now)
    known = phases._asdict()
    changes: dict[str, Any] = {name: now.at for name, holds in reached.items() if holds and known[name] is None}
    return phases._replace(**changes)


def is_over(kind: Kind, phases: Phases, now: Moment) -> bool:
    """It trains again, or saves again; or it has come to rest, and nothing more is to be seen."""
    last = phases.saved if kind == "disk-full" else phases.stepped
    return last is not None or now.state in ("succeeded", "failed", "stopped")


def count_lost(kind: Kind, now: Moment) -> int | None:
    """Steps that have to be made again, of those that it has told of; None where it is not known."""
    if kind in ("daemon", "disk-full"):
        return 0
    if now.struck_step is None:
        return None
    return max(now.struck_step - (now.resumed_from or 0), 0)


def find_faults(kind: Kind, before: Moment, phases: Phases, now: Moment) -> list[str]:
    """What did not go as it must, in words; none: the drill was passed."""
    if now.state == "succeeded":
        return ["the job was done before anything could be seen"]
    if now.state in ("failed", "stopped"):
        return [f"the job is {now.state}"]
    if phases.stepped is None:
        return [f"no new step was seen; the job is {now.state}"]
    if kind == "disk-full" and phases.saved is None:
        return ["it has not saved again since there is room"]
    if kind in ("daemon", "disk-full"):
        return [] if now.attempt == before.attempt else ["the job did not outlive it"]
    lost = count_lost(kind, now)
    if kind == "preempt" and lost:
        return [f"it did not save its last step: {lost} are made again"]
    return [] if now.resumed_from is not None or before.checkpoint is None else ["it began again at step 0"]


LABELS: dict[Kind, tuple[tuple[str, str], ...]] = {
    "preempt": (
        ("noticed", "told to save"), ("saved", "saved"), ("ended", "ended"), ("restarted", "restarted"),
        ("stepped", "first new step"),
    ),
    "crash": (
        ("noticed", "noticed"), ("saved", "newer checkpoint"), ("restarted", "restarted"),
        ("stepped", "first new step"),
    ),
    "hang": (
        ("noticed", "noticed"), ("ended", "ended"), ("saved", "newer checkpoint"), ("restarted", "restarted"),
        ("stepped", "first new step"),
    ),
    "corrupt": (("noticed", "noticed"), ("restarted", "restarted"), ("stepped", "first new step")),
    "disk-full": (
        ("stepped", "trained on while full"), ("noticed", "room given back"), ("saved", "saved again"),
    ),
    "daemon": (("ended", "gone"), ("restarted", "answers again"), ("stepped", "first step it tells of")),
}  # fmt: skip
"""The phases of each kind in their usual order, with the words for them."""


def list_reached(kind: Kind, earlier: Phases, now: Phases) -> list[str]:
    """The phases that were reached since `earlier`, in words."""
    was, reached = earlier._asdict(), now._asdict()
    return [words for name, words in LABELS[kind] if was[name] is None and reached[name] is not None]


def describe_phases(kind: Kind, phases: Phases) -> dict[str, float | None]:
    """Seconds by the words for each phase of this kind."""
    reached = phases._asdict()
    return {words: reached[name] for name, words in LABELS[kind]}


def say_cost(kind: Kind, phases: Phases, now: Moment) -> str:
    """ "3.4 s until the first new step, 2 steps made again"."""
    lost = count_lost(kind, now)
    steps = "steps lost unknown" if lost is None else f"{lost} step{'' if lost == 1 else 's'} made again"
    if phases.stepped is None or kind in ("daemon", "disk-full"):
        return steps
    return f"{human_duration(phases.stepped)} until the first new step, {steps}"


def _look_at_attempt(before: Moment, phases: Phases, now: Moment) -> dict[str, bool]:
    is_next = now.attempt > before.attempt
    has_ended = now.struck_cause is not None or is_next
    is_running = is_next and now.state in ("running", "saving")
    return {
        "noticed": now.state == "saving" or has_ended,
        "saved": now.checkpoint != before.checkpoint,
        "ended": has_ended,
        "restarted": is_running,
        "stepped": is_running and _is_own_step(phases, now),
    }


def _is_own_step(phases: Phases, now: Moment) -> bool:
    return now.step is not None and now.step > (now.resumed_from or 0) and now.step != phases.first_shown


def _look_at_daemon(before: Moment, _: Phases, now: Moment) -> dict[str, bool]:
    is_back = now.daemon is not None and now.daemon != before.daemon
    is_new = (now.step or 0) > (before.step or 0)
    return {
        "ended": now.daemon != before.daemon,
        "restarted": is_back,
        "stepped": is_back and now.state == "running" and is_new,
    }


def _look_at_disk(before: Moment, _: Phases, now: Moment) -> dict[str, bool]:
    return {
        "stepped": (now.step or 0) > (before.step or 0),
        "noticed": now.has_room,
        "saved": now.has_room and now.checkpoint != before.checkpoint,
    }
