"""Reasons in words, as `perdure show` gives them: "waiting 8 s before attempt 4: exit code 1, no progress since step
1200 (2 of 5)".
"""

from __future__ import annotations

from .observation import AttemptSeen, Ended, Exit, Lost
from .record import JobRecord
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


def say_running(attempt: int) -> str:
    return f"attempt {attempt} is running"


def say_saving(why: str, grace: float) -> str:
    return f"asked to save and end ({why}), at most {human_duration(grace)}"


def say_waiting(record: JobRecord, delay: float, limit: int) -> str:
    """Of a record whose last attempt has its cause; `limit` is the budget of failures."""
    last = record.attempts[-1]
    when = f"waiting {human_duration(delay)} before" if delay else "restarting as"
    since = f"no progress since step {record.progress}" if record.progress is not None else "no checkpoint yet"
    budget = f", {since} ({record.failures} of {limit})" if record.failures and delay else ""
    return f"{when} attempt {last.number + 1}: {last.cause or 'ended'}{budget}"


def say_given_up(cause: str, failures: int) -> str:
    count = "1 failure" if failures == 1 else f"{failures} failures in a row"
    return f"{cause}; gave up after {count} without progress"


def say_at_step(word: str, record: JobRecord) -> str:
    return f"{word} at step {record.progress}" if record.progress is not None else word
