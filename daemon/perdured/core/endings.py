"""The cells of the table for an attempt that has ended: whether another one follows, and when.

An end that came because it was asked for is judged by the wish. Any other end is judged by itself, and only then does
the wish decide between going on and coming to rest.
"""

from __future__ import annotations

from .decision import Context, Decision, tell
from .observation import Ended, Refused
from .policy import backoff_delay, count_idle_ends, has_advanced
from .record import Failed, JobRecord, Parked, Phase, Stopped, Succeeded, Waiting
from .words import say_at_step, say_end, say_given_up, say_waiting


def then_succeed(c: Context) -> Decision:
    """Nobody had asked it to end, so 0 means done, also where a wish came in meanwhile."""
    record = close_attempt(c, "done")
    record = record.at_rest(Succeeded(), say_at_step("done", record), c.now)
    return Decision(record, (), (tell(record, "succeeded"),))


def then_run_again(c: Context) -> Decision:
    """Exit 75 is no failure."""
    return _go_on(c, close_attempt(c, "saved and asked to run again"))


def then_end_as_asked(c: Context) -> Decision:
    """Its own exit status says little: many programs exit with 0, or die, on SIGTERM. It is no failure."""
    return _go_on(c, close_attempt(c, say_end(c.observation.attempt)))


def then_fail(c: Context) -> Decision:
    cause = say_end(c.observation.attempt)
    return _fail(close_attempt(c, cause), cause, c.now)


def then_refuse(c: Context) -> Decision:
    """The launch found the ground unfit: for good (no valid checkpoint), or for now (disk full, no workdir)."""
    seen = c.observation.attempt
    assert isinstance(seen, Refused)
    if c.record.wish == "run" and seen.permanent:
        return _fail(close_attempt(c, seen.why), seen.why, c.now)
    return after_failure(c, seen.why)


def then_restart_after_failure(c: Context) -> Decision:
    return after_failure(c, say_end(c.observation.attempt))


def then_restart_after_reboot(c: Context) -> Decision:
    """Not the job's fault: immediate, and never counted."""
    record = close_attempt(c, say_end(c.observation.attempt))
    return come_to_rest(record, c.now) if _is_to_rest(record) else _wait(c, record, 0.0)


def after_failure(c: Context, cause: str) -> Decision:
    """Why it did, or did not, restart."""
    record = close_attempt(c, cause)
    if c.record.wish != "run":
        return _go_on(c, record)
    backoff, limit = c.spec.restart.backoff, c.spec.restart.failures
    if record.attempts[-1].kept_until is None:
        record = record.but(failures=record.failures + 1)
    if record.failures >= limit:
        return _fail(record, say_given_up(cause, record.failures), c.now)
    return _wait(c, record, backoff_delay(backoff, record.failures, record.id))


def close_attempt(c: Context, cause: str) -> JobRecord:
    """The record with the attempt's end noted, and the progress it made: that resets the budget of failures."""
    last = c.record.attempts[-1]
    newest, seen = c.observation.checkpoint, c.observation.attempt
    changes: dict[str, object] = {"cause": cause, "ended_at": c.now}
    if isinstance(seen, Ended):
        changes |= {"ended_at": seen.exit.at, "exit_code": seen.exit.exit_code, "signal": seen.exit.signal}
    advanced = newest is not None and has_advanced(c.record, newest.step)
    if newest is not None and advanced:
        changes["kept_until"] = newest.committed_at
    record = c.record.with_attempt(last.model_copy(update=changes))
    progress = newest.step if newest is not None else record.progress
    return record.but(progress=progress, failures=0 if advanced else record.failures)


def come_to_rest(record: JobRecord, now: float) -> Decision:
    """Stopped or parked, as was wished."""
    word = "parked" if record.wish == "park" else "stopped"
    phase: Phase = Parked() if record.wish == "park" else Stopped()
    record = record.at_rest(phase, say_at_step(word, record), now)
    return Decision(record, (), (tell(record, word),))


def _go_on(c: Context, record: JobRecord) -> Decision:
    """After an end that counts for nothing. Without progress it backs off all the same, so that it cannot spin."""
    if _is_to_rest(record):
        return come_to_rest(record, c.now)
    if record.wish == "restart":
        return _wait(c, record.but(wish="run", failures=0), 0.0)
    return _wait(c, record, backoff_delay(c.spec.restart.backoff, count_idle_ends(record), record.id))


def _is_to_rest(record: JobRecord) -> bool:
    return record.wish in ("stop", "park", "remove")


def _wait(c: Context, record: JobRecord, delay: float) -> Decision:
    until, cause = c.now + delay, record.attempts[-1].cause or "ended"
    reason = say_waiting(record, delay, c.spec.restart.failures)
    record = record.but(phase=Waiting(until=until, cause=cause), reason=reason)
    return Decision(record, (), (tell(record, "waiting"),), until)


def _fail(record: JobRecord, reason: str, now: float) -> Decision:
    record = record.at_rest(Failed(), reason, now)
    return Decision(record, (), (tell(record, "failed"),))
