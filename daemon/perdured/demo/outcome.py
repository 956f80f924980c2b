"""What a disturbance cost, and whether Perdure did what it must: measured, with nothing taken on trust."""

from __future__ import annotations

from dataclasses import dataclass

from .script import Disturbance, Moment


@dataclass(frozen=True)
class Wreck:
    """A disturbance that was done, and what was known just before."""

    disturbance: Disturbance
    before: Moment
    corrupted_step: int | None = None
    """The step of the checkpoint that was damaged."""


@dataclass(frozen=True)
class Ending:
    """How the attempt ended that was disturbed."""

    exit_code: int | None
    signal: int | None
    last_step: int
    """The last step it finished."""


@dataclass(frozen=True)
class Outcome:
    title: str
    at_step: int
    steps_lost: int
    seconds: float | None
    """Until training went on; None when it never stopped."""
    faults: tuple[str, ...] = ()
    """What Perdure did wrong, in words; empty when all is well."""


def has_recovered(wreck: Wreck, now: Moment) -> bool:
    """Whether training goes on: a new attempt has finished a step. A step that the old one had still under way when
    it was disturbed proves nothing.

    With the daemon killed, no new attempt is wanted; it has recovered when it tells a step that came after. A job that
    is done makes no other step: it had saved its last one before, or was over before it could be disturbed.
    """
    before = wreck.before
    if now.state == "succeeded":
        return True
    if wreck.disturbance.kind == "daemon":
        return (now.told_step or 0) > (before.step or 0)
    return now.attempt > before.attempt and now.step is not None


def measure_outcome(wreck: Wreck, ending: Ending | None, now: Moment, seconds: float) -> Outcome:
    """The outcome at the first moment at which training goes on; `ending` is None when no attempt has ended."""
    at_step = ending.last_step if ending else wreck.before.step or 0
    resumed = now.resumed_from or 0
    lost = max(0, at_step - resumed) if ending else 0
    faults = tuple(_find_faults(wreck, ending, now))
    return Outcome(wreck.disturbance.title, at_step, lost, seconds if ending else None, faults)


def _find_faults(wreck: Wreck, ending: Ending | None, now: Moment) -> list[str]:
    match wreck.disturbance.kind, ending:
        case _, Ending(exit_code=0):
            return ["the training was over before"]
        case "daemon", None:
            return [] if now.pid == wreck.before.pid else ["the job has another process than before"]
        case "daemon", _:
            return ["the job did not outlive the daemon"]
        case _, None:
            return ["the attempt that was to end goes on"]
        case "preempt", Ending(exit_code=75):
            saved_less = now.resumed_from is None or now.resumed_from < ending.last_step
            return ["it did not save the last step before it ended"] if saved_less else []
        case "preempt", _:
            return [f"it ended with {ending.exit_code} (signal {ending.signal}), not with 75"]
        case "corrupt", _ if wreck.corrupted_step is None or (now.resumed_from or 0) >= wreck.corrupted_step:
            return ["it resumed from the corrupt checkpoint, or from none before it"]
        case _:
            return [] if now.resumed_from is not None else ["it began again at step 0"]
