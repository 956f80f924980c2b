"""The cells of the table for an attempt that has ended: whether another one follows, and when.

An end that came because it was asked for is judged by the wish. Any other end is judged by itself (its class names the
budget, `perdured.core.judgement` the rest), and only then does the wish decide between going on and coming to rest.
"""

from __future__ import annotations

from perdured.core.ends.cause import HELD, Cause
from perdured.core.ends.classify import classify_end
from perdured.core.ends.end import End
from perdured.core.queue.turn import ASIDE

from .budgets import charge, count_failures
from .decision import Context, Decision, tell
from .judgement import GiveUp, StepOver, judge_failure
from .notice_plan import join_pace
from .observation import CheckpointSeen, Ended, Refused
from .policy import backoff_delay, count_idle_ends, has_advanced, probe_delay
from .record import Failed, JobRecord, Parked, Phase, Saving, Skip, Stopped, Succeeded, Waiting
from .words import say_at_step, say_held, say_stepped_over, say_waiting, say_what_for

KEPT_EVIDENCE = 3
"""Attempts whose last lines and tracebacks are kept; of earlier ones only the verdict is."""


def then_succeed(c: Context) -> Decision:
    """Nobody had asked it to end, so 0 means done, also where a wish came in meanwhile."""
    record = close_attempt(c, classify_end(c.observation.attempt))
    record = record.at_rest(Succeeded(), say_at_step("done", record), c.now)
    return Decision(record, (), (tell(record, "succeeded"),))


def then_run_again(c: Context) -> Decision:
    """Exit 75 is no failure."""
    end, newest = classify_end(c.observation.attempt), c.observation.checkpoint
    if newest is None or not has_advanced(c.record, newest.step):
        end = end.model_copy(update={"why": "asked to run again, with no new checkpoint"})
    return _go_on(c, close_attempt(c, end))


def then_end_as_asked(c: Context) -> Decision:
    """Its own exit status says little: many programs exit with 0, or die, on SIGTERM. It is no failure."""
    return _go_on(c, close_attempt(c, classify_end(c.observation.attempt)))


def then_fail(c: Context) -> Decision:
    end = classify_end(c.observation.attempt)
    return _fail(close_attempt(c, end), end.why, c.now)


def then_refuse(c: Context) -> Decision:
    """The launch found the ground unfit: for good (no valid checkpoint), or for now (disk full, no workdir)."""
    seen = c.observation.attempt
    assert isinstance(seen, Refused)
    if c.record.wish == "run" and seen.permanent:
        return _fail(close_attempt(c, classify_end(seen)), seen.why, c.now)
    return then_hold(c) if seen.cause in HELD else after_failure(c, classify_end(seen))


def then_restart_after_failure(c: Context) -> Decision:
    return after_failure(c, classify_end(c.observation.attempt))


def then_restart_after_reboot(c: Context) -> Decision:
    """Not the job's fault: immediate, and never counted."""
    record = close_attempt(c, classify_end(c.observation.attempt))
    return come_to_rest(record, c.now) if _is_to_rest(record) else _wait(c, record, 0.0)


def then_hold(c: Context) -> Decision:
    """The storage is at fault, or taken, so another attempt would die of it too: wait for it, however long."""
    record = close_attempt(c, classify_end(c.observation.attempt))
    if c.record.wish != "run":
        return _go_on(c, record)
    end = record.attempts[-1].end
    assert end is not None
    return hold(c, record, end.why, end.cause, probe_delay(end.cause, count_idle_ends(record) - 1))


def hold(c: Context, record: JobRecord, why: str, cause: Cause, delay: float) -> Decision:
    """Held until a probe finds the place of the checkpoints well, and free. It is told once, not at each probe."""
    waiting = Waiting(until=c.now + delay, what_for=say_what_for(cause), probes=True)
    record = _decide_on_last(record.but(phase=waiting), say_held(why, cause, delay))
    events = () if c.record.phase.kind == "waiting" else (tell(record, "waiting"),)
    return Decision(record, (), events, waiting.until)


def after_failure(c: Context, end: End) -> Decision:
    """Why it did, or did not, restart."""
    record = close_attempt(c, end)
    if c.record.wish != "run":
        return _go_on(c, record)
    if record.attempts[-1].kept_until is None:
        record = charge(record, end.cause)
    verdict = judge_failure(record, c.spec.restart.failures)
    if isinstance(verdict, GiveUp):
        return _fail(record, verdict.why, c.now)
    if isinstance(verdict, StepOver):
        return _step_over(c, record, verdict.checkpoint)
    return _wait(c, record, backoff_delay(c.spec.restart.backoff, verdict.used, record.id), verdict.used, verdict.limit)


def fail_unstarted(c: Context, why: str) -> Decision:
    """The attempt never ran, and nobody knows more."""
    return after_failure(c, End(cause=Cause.UNKNOWN, why=why))


def close_attempt(c: Context, end: End) -> JobRecord:
    """The record with the attempt's end noted, and the progress it made: that makes every budget new."""
    last, phase = c.record.attempts[-1], c.record.phase
    if isinstance(phase, Saving) and phase.found is not None and end.cause in (Cause.HANG, Cause.NON_FINITE):
        end = end.model_copy(update={"why": phase.found})
    newest, seen = c.observation.checkpoint, c.observation.attempt
    changes: dict[str, object] = {"end": end, "ended_at": c.now, "step": c.observation.step}
    changes["tally"] = (seen.exit.tally if isinstance(seen, Ended) else None) or c.observation.tally or last.tally
    if isinstance(seen, Ended):
        changes |= {"ended_at": seen.exit.at, "exit_code": seen.exit.exit_code, "signal": seen.exit.signal}
        changes["not_saved"] = seen.exit.not_saved
        changes["step"] = seen.exit.step if seen.exit.step is not None else c.observation.step
    advanced = newest is not None and has_advanced(c.record, newest.step)
    if newest is not None and advanced:
        changes["kept_until"] = newest.committed_at
    record = _forget_old_evidence(c.record).with_attempt(last.model_copy(update=changes))
    record = record.but(progress=newest.step if newest is not None else record.progress)
    pace = (seen.exit.pace if isinstance(seen, Ended) else None) or c.observation.pace
    record = record.but(pace=join_pace(pace, record.pace))
    if c.spec.health.skip_batches and end.cause == Cause.NON_FINITE:
        record = record.but(skip=_find_skip(record, newest))
    return record.but(failures=0, spent={}, hops=0) if advanced else record


def _find_skip(record: JobRecord, newest: CheckpointSeen | None) -> Skip:
    """The batches of the steps between the checkpoint that is gone on from and the loss that was not finite, and those
    that were passed over there before. One batch a step: more of them is more than the core knows."""
    last, path, saved = record.attempts[-1], newest.path if newest else None, newest.step if newest else 0
    reached = last.step if last.step is not None else saved
    # A script that raised by itself had not reported the step yet.
    lost = max(reached - saved, 0) + (0 if isinstance(record.phase, Saving) and record.phase.found else 1)
    before = record.skip.batches if record.skip is not None and record.skip.checkpoint == path else 0
    return Skip(checkpoint=path, batches=before + lost)


def _forget_old_evidence(record: JobRecord) -> JobRecord:
    old = record.attempts[:-KEPT_EVIDENCE]
    for attempt in old[-1:]:
        if attempt.end is not None:
            record = record.with_attempt(attempt.model_copy(update={"end": attempt.end.without_evidence()}))
    return record


def come_to_rest(record: JobRecord, now: float) -> Decision:
    """Stopped or parked, as was wished."""
    word = "parked" if record.wish == "park" else "stopped"
    by_notice = isinstance(record.phase, Saving) and record.phase.by_notice
    phase: Phase = Parked(by_notice=by_notice) if record.wish == "park" else Stopped()
    record = record.at_rest(phase, say_at_step(word, record), now)
    return Decision(record, (), (tell(record, word),))


def _go_on(c: Context, record: JobRecord) -> Decision:
    """After an end that counts for nothing. Without progress it backs off all the same, so that it cannot spin."""
    if _is_to_rest(record):
        return come_to_rest(record, c.now)
    if record.wish == "restart":
        return _wait(c, record.but(wish="run").renewed(), 0.0)
    if _was_told_to_step_aside(c):
        return _step_aside(record)
    return _wait(c, record, backoff_delay(c.spec.restart.backoff, count_idle_ends(record), record.id))


def _was_told_to_step_aside(c: Context) -> bool:
    seen = c.observation.attempt
    return isinstance(seen, Ended) and seen.exit.stop_reason == ASIDE


def _step_aside(record: JobRecord) -> Decision:
    record = _decide_on_last(record.but(phase=Parked(stepped_aside=True)), say_at_step(ASIDE, record))
    return Decision(record, (), (tell(record, "parked"),))


def _is_to_rest(record: JobRecord) -> bool:
    return record.wish in ("stop", "park", "remove")


def _step_over(c: Context, record: JobRecord, checkpoint: str) -> Decision:
    """What failed was the checkpoint, so what comes after it is judged anew."""
    changes: dict[str, object] = {"suspects": (*record.suspects, checkpoint), "hops": record.hops + 1}
    record = record.but(failures=0, spent={}, **changes)
    delay = backoff_delay(c.spec.restart.backoff, 1, record.id)
    return _begin_wait(c, record, delay, say_stepped_over(record, checkpoint, delay))


def _wait(c: Context, record: JobRecord, delay: float, used: int | None = None, limit: int | None = None) -> Decision:
    cause = record.attempts[-1].cause or Cause.UNKNOWN
    used = count_failures(record, cause) if used is None else used
    return _begin_wait(c, record, delay, say_waiting(record, delay, used, limit or c.spec.restart.failures))


def _begin_wait(c: Context, record: JobRecord, delay: float, reason: str) -> Decision:
    waiting = Waiting(until=c.now + delay)
    record = _decide_on_last(record.but(phase=waiting), reason)
    return Decision(record, (), (tell(record, "waiting"),), waiting.until)


def _fail(record: JobRecord, reason: str, now: float) -> Decision:
    record = _decide_on_last(record, reason).at_rest(Failed(), reason, now)
    return Decision(record, (), (tell(record, "failed"),))


def _decide_on_last(record: JobRecord, reason: str) -> JobRecord:
    """The reason, of the job and of what followed from its last attempt."""
    return record.but(reason=reason).with_attempt(record.attempts[-1].model_copy(update={"decision": reason}))
