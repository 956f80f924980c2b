"""Reasons in words, as `perdure show` gives them: "waiting 8 s before attempt 4: exit code 1, no progress since step
1200 (2 of 5)".
"""

from __future__ import annotations

from perdured.core.ends.cause import Cause
from perdured.core.queue.turn import ASIDE

from .observation import AttemptSeen, Ended, Exit, Lost
from .record import JobRecord, ParkedInPlace
from .units import human_duration


def say_end(seen: AttemptSeen) -> str:
    """How an attempt ended: the cause that is kept with it and handed to the next one."""
    if isinstance(seen, Ended):
        return _say_exit(seen.exit)
    if isinstance(seen, Lost):
        return "the machine was restarted" if seen.rebooted else "keeper and job died; the exit is unknown"
    return "nothing of it was found; how it ended is unknown"


def _say_exit(exit: Exit) -> str:
    if exit.reason == "not_started":
        return exit.error or "the command could not be started"
    killed = "killed when the grace was over"
    if exit.stop_reason is not None:
        return f"{exit.stop_reason}, {killed}" if exit.reason == "timed_out" else exit.stop_reason
    if exit.reason == "timed_out":
        return killed
    return f"killed by signal {exit.signal}" if exit.signal is not None else f"exit code {exit.exit_code}"


_ASKED = {
    "restart": "asked to restart",
    "stop": "asked to stop",
    ASIDE: "it had stepped aside",
    "lease": "its lease ran out",
}
"""Causes that are what the keeper was told, as what somebody wanted."""


def say_starting(attempt: int, cause: str | None) -> str:
    return f"starting attempt {attempt}" + (f": {_ASKED.get(cause, cause)}" if cause else "")


def say_running(attempt: int) -> str:
    return f"attempt {attempt} is running"


def say_saving(why: str, grace: float) -> str:
    end = "step aside" if why == ASIDE else f"end ({why})"
    return f"asked to save and {end}, at most {human_duration(grace)}"


def say_noticed(warning: str, why: str) -> str:
    return f"{warning}: {why}"


def say_standing(phase: ParkedInPlace) -> str:
    """Whether the state is safe is what a person wants to know of it."""
    what = "saved" if phase.saved else "not saved: there was no time, or the storage refused it"
    return f"stands still at step {phase.step}, {what}; goes on when the notice is withdrawn"


def say_going_on(attempt: int) -> str:
    return f"attempt {attempt} goes on: the notice stands no more"


def say_waiting(record: JobRecord, delay: float, used: int, limit: int) -> str:
    """Of a record whose last attempt has its end; `used` of the budget of `limit` failures."""
    last = record.attempts[-1]
    when = f"waiting {human_duration(delay)} before" if delay else "restarting as"
    since = f"no progress since step {record.progress}" if record.progress is not None else "no checkpoint yet"
    budget = f", {since} ({used} of {limit})" if used and delay else ""
    place = " from the last healthy checkpoint" if last.cause == Cause.NON_FINITE else ""
    why = _ASKED.get(last.why or "", last.why or "ended")
    return f"{when} attempt {last.number + 1}{place}: {why}{budget}"


def say_stepped_over(record: JobRecord, checkpoint: str, delay: float) -> str:
    last, name = record.attempts[-1], checkpoint.rsplit("/", 1)[-1]
    return (
        f"waiting {human_duration(delay)} before attempt {last.number + 1}, from the checkpoint before {name}, "
        f"with which two attempts died without a step: {last.why}"
    )


_HELD = {
    Cause.IN_USE: ("the checkpoint directory is free", "the checkpoint directory to be free"),
    Cause.REMOTE: ("the remote answers", "the remote to answer"),
    Cause.NO_UNIT: ("systemd starts its keeper", "systemd to start its keeper"),
}
_HELD_BY_STORAGE = ("there is storage again", "the disk to take a file again")


def say_held(why: str, cause: Cause, delay: float) -> str:
    until = _HELD.get(cause, _HELD_BY_STORAGE)[0]
    return f"held until {until}: {why}; looks again in {human_duration(delay)}, or at `perdure resume`"


def say_what_for(cause: Cause) -> str:
    return _HELD.get(cause, _HELD_BY_STORAGE)[1]


def say_at_step(word: str, record: JobRecord) -> str:
    return f"{word} at step {record.progress}" if record.progress is not None else word
