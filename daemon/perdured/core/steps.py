"""The cells of the table: one small function for each thing that can follow.

Each takes a `Context` and returns a `Decision`. They are named as `then_*`: trigger, *then* this.
"""

from __future__ import annotations

from typing import NamedTuple

from .actions import Action, Clean, Forget, Launch, Stop
from .events import Event
from .observation import Ended, Exit, Lost, Observation, Orphaned, Refused, Unverifiable
from .policy import backoff_delay, has_advanced
from .record import (
    AttemptRecord,
    Failed,
    JobRecord,
    Parked,
    Phase,
    Queued,
    Running,
    Saving,
    Starting,
    Stopped,
    Succeeded,
    Waiting,
    Wish,
)
from .spec import Spec
from .units import human_duration

MAX_LAUNCHES = 3
UNSEEN_RECHECK = 5.0
"""Seconds until a second look at what could not be observed, or at a job without a keeper."""


class Context(NamedTuple):
    spec: Spec
    record: JobRecord
    observation: Observation
    now: float


class Decision(NamedTuple):
    record: JobRecord
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    wake_at: float | None = None
    """Look again at this time even if nothing happens; None means that something will happen."""


def then_nothing(c: Context) -> Decision:
    return Decision(c.record)


def then_stay(c: Context) -> Decision:
    """A wish that is fulfilled already."""
    return Decision(c.record.but(wish="run"))


def then_launch(c: Context) -> Decision:
    """A new attempt. The record that says so is saved before the keeper is started."""
    number = (c.record.last_attempt.number if c.record.last_attempt else 0) + 1
    cause = c.record.last_attempt.cause if c.record.last_attempt else None
    phase = Starting(attempt=number, restart_reason=cause)
    reason = f"starting attempt {number}" + (f": {cause}" if cause else "")
    record = c.record.with_attempt(AttemptRecord(number=number)).but(
        wish="run", phase=phase, reason=reason, ended_at=None
    )
    return Decision(record, (Launch(attempt=number, restart_reason=cause),), (_tell(record, "starting"),))


def then_launch_again(c: Context) -> Decision:
    """The intent was recorded but nothing ran: a daemon died in between, or the keeper could not come up."""
    phase = c.record.phase
    assert isinstance(phase, Starting)
    if c.record.wish != "run":
        return _after_asked_end(c, _close_attempt(c, "never started"))
    if phase.launches >= MAX_LAUNCHES:
        return _after_failure(c, "the keeper did not come up", clean=True)
    again = phase.model_copy(update={"launches": phase.launches + 1})
    action = Launch(attempt=phase.attempt, restart_reason=phase.restart_reason)
    return Decision(c.record.but(phase=again), (action,))


def then_run(c: Context) -> Decision:
    number = _number(c)
    record = c.record.but(phase=Running(attempt=number), reason=f"attempt {number} is running")
    return Decision(record, (), (_tell(record, "started"),))


def then_watch(c: Context) -> Decision:
    """A keeper that is not running yet, or a stop that a keeper has accepted: its status will wake us."""
    return Decision(c.record)


def then_watch_orphan(c: Context) -> Decision:
    """Nothing is killed for want of a keeper: the job goes on, watched from afar, its exit will be unknown."""
    seen = c.observation.attempt
    pid = seen.pid if isinstance(seen, Orphaned) else "?"
    reason = f"attempt {_number(c)} runs without its keeper (pid {pid}); its exit status will be unknown"
    events = () if c.record.reason == reason else (Event(kind="orphaned", text=reason, attempt=_number(c)),)
    return Decision(c.record.but(reason=reason), (), events, c.now + UNSEEN_RECHECK)


def then_hold_still(c: Context) -> Decision:
    """Unknown is not dead: nothing is started, signalled or declared over."""
    seen = c.observation.attempt
    why = seen.why if isinstance(seen, Unverifiable) else "it could not be observed"
    reason = f"attempt {_number(c)} cannot be observed and is left alone: {why}"
    return Decision(c.record.but(reason=reason), (), (), c.now + UNSEEN_RECHECK)


def then_ask_to_stop(c: Context) -> Decision:
    """The leader alone gets the signal; the keeper holds the deadline, also should the daemon die now."""
    number, grace = _number(c), c.spec.stop.grace
    why = {"stop": "stop", "park": "preempted", "restart": "restart"}.get(c.record.wish, "stop")
    reason = f"asked to save and end ({why}), at most {human_duration(grace)}"
    record = c.record.but(phase=Saving(attempt=number, why=why, asked_at=c.now), reason=reason)
    return Decision(record, (Stop(attempt=number, reason=why, grace=grace),), (_tell(record, "saving"),))


def then_ask_again_to_stop(c: Context) -> Decision:
    """A stop is repeated until the keeper is seen to have accepted it: the first may have died with a daemon."""
    phase, seen = c.record.phase, c.observation.attempt
    assert isinstance(phase, Saving)
    if seen.kind == "held" and seen.stop_reason is not None:
        return Decision(c.record)
    if seen.kind == "orphaned" and c.now > phase.asked_at + c.spec.stop.grace:
        return Decision(c.record, (Clean(attempt=phase.attempt),), (), c.now + UNSEEN_RECHECK)
    stop = Stop(attempt=phase.attempt, reason=phase.why, grace=c.spec.stop.grace)
    return Decision(c.record, (stop,), (), c.now + UNSEEN_RECHECK)


def then_never_start(c: Context) -> Decision:
    """The wish came before anything ran."""
    return _rest_as_wished(c.record, c.now)


def then_forget(c: Context) -> Decision:
    return Decision(c.record.but(reason="removed"), (Forget(),))


def then_queue(c: Context) -> Decision:
    """Asked to run again by hand: the budget starts anew."""
    record = c.record.but(wish="run", phase=Queued(), failures=0, reason="asked to run again", ended_at=None)
    return Decision(record, (), (_tell(record, "asked"),))


def then_wait_or_launch(c: Context) -> Decision:
    phase = c.record.phase
    assert isinstance(phase, Waiting)
    # A wall clock that was set back must not stretch the wait beyond the longest that the spec allows.
    until = min(phase.until, c.now + c.spec.restart.backoff.longest)
    if until <= c.now:
        return then_launch(c)
    return Decision(c.record, (), (), until)


def then_succeed(c: Context) -> Decision:
    """Exit 0 means done; but not after a stop was asked for, since many programs exit with 0 on SIGTERM."""
    record = _close_attempt(c, "done")
    if c.record.wish != "run":
        return _after_asked_end(c, record)
    record = record.but(phase=Succeeded(), reason=_with_step("done", record), failures=0, ended_at=c.now)
    return Decision(record, (), (_tell(record, "succeeded"),))


def then_run_again(c: Context) -> Decision:
    """Exit 75 is no failure. Without progress it backs off all the same, so that it cannot spin."""
    advanced = has_advanced(c.record, _newest_step(c))
    record = _close_attempt(c, _asked_cause(c) or "saved and asked to run again")
    if c.record.wish != "run":
        return _after_asked_end(c, record)
    idle = 0 if advanced else _idle_ends(record)
    return _wait(c, record, backoff_delay(c.spec.restart.backoff, idle, record.id) if idle else 0.0)


def then_fail(c: Context) -> Decision:
    record = _close_attempt(c, _describe_end(c))
    return _fail(record, record.attempts[-1].cause or "failed", c.now)


def then_refuse(c: Context) -> Decision:
    """The launch found the ground unfit: for good (no valid checkpoint), or for now (disk full, no workdir)."""
    seen = c.observation.attempt
    assert isinstance(seen, Refused)
    if c.record.wish != "run":
        return _after_asked_end(c, _close_attempt(c, seen.why))
    if seen.permanent:
        return _fail(_close_attempt(c, seen.why), seen.why, c.now)
    return _after_failure(c, seen.why)


def then_restart_after_failure(c: Context) -> Decision:
    if c.record.wish != "run":
        return _after_asked_end(c, _close_attempt(c, _describe_end(c)))
    return _after_failure(c, _describe_end(c))


def then_restart_after_loss(c: Context) -> Decision:
    """Nobody saw the exit. Whatever is left of the tree goes first: two writers must be impossible."""
    if c.record.wish != "run":
        return _after_asked_end(c, _close_attempt(c, _describe_end(c)), clean=True)
    return _after_failure(c, _describe_end(c), clean=True)


def then_restart_after_reboot(c: Context) -> Decision:
    """Not the job's fault: immediate, and never counted."""
    record = _close_attempt(c, "the machine was restarted")
    return _after_asked_end(c, record) if c.record.wish != "run" else _wait(c, record, 0.0)


def _after_failure(c: Context, cause: str, *, clean: bool = False) -> Decision:
    """Why it did, or did not, restart."""
    advanced = has_advanced(c.record, _newest_step(c))
    failures = 1 if advanced else c.record.failures + 1
    limit = c.spec.restart.failures
    record = _close_attempt(c, cause).but(failures=failures)
    actions: tuple[Action, ...] = (Clean(attempt=_number(c)),) if clean else ()
    if failures >= limit and not advanced:
        given_up = f"{cause}; gave up after {failures} failures in a row without progress"
        return _fail(record, given_up, c.now)._replace(actions=actions)
    delay = 0.0 if advanced else backoff_delay(c.spec.restart.backoff, failures, record.id)
    return _wait(c, record, delay)._replace(actions=actions)


def _wait(c: Context, record: JobRecord, delay: float) -> Decision:
    cause = record.attempts[-1].cause or "ended"
    number = record.attempts[-1].number + 1
    since = f"no progress since step {record.progress}" if record.progress is not None else "no checkpoint yet"
    budget = f"{since} ({record.failures} of {c.spec.restart.failures})"
    when = f"waiting {human_duration(delay)} before attempt {number}" if delay else f"restarting as attempt {number}"
    reason = f"{when}: {cause}" + (f", {budget}" if record.failures and delay else "")
    record = record.but(phase=Waiting(until=c.now + delay, cause=cause), reason=reason)
    return Decision(record, (), (_tell(record, "waiting"),), c.now + delay)


def _fail(record: JobRecord, reason: str, now: float) -> Decision:
    failed = record.but(phase=Failed(), wish="run", reason=reason, ended_at=now)
    return Decision(failed, (), (_tell(failed, "failed"),))


def _after_asked_end(c: Context, record: JobRecord, *, clean: bool = False) -> Decision:
    actions: tuple[Action, ...] = (Clean(attempt=_number(c)),) if clean else ()
    if record.wish == "restart":
        return _wait(c, record.but(wish="run", failures=0), 0.0)._replace(actions=actions)
    return _rest_as_wished(record, c.now)._replace(actions=actions)


def _rest_as_wished(record: JobRecord, now: float) -> Decision:
    parked = record.wish == "park"
    phase: Phase = Parked() if parked else Stopped()
    wish: Wish = "run"
    word = "parked" if parked else "stopped"
    record = record.but(phase=phase, wish=wish, reason=_with_step(word, record), ended_at=now)
    return Decision(record, (), (_tell(record, word),))


def _close_attempt(c: Context, cause: str) -> JobRecord:
    """The record with the attempt's end and the progress it made noted."""
    last = c.record.last_attempt
    if last is None:
        return c.record
    newest, seen = c.observation.checkpoint, c.observation.attempt
    exit = seen.exit if isinstance(seen, Ended) else None
    changes: dict[str, object] = {"cause": cause, "ended_at": exit.at if exit else c.now, **_exit_fields(exit)}
    if isinstance(seen, Ended | Lost) and seen.pid is not None:
        changes["pid"] = seen.pid
    if isinstance(seen, Ended) and seen.started_at is not None:
        changes["started_at"] = seen.started_at
    if newest is not None and has_advanced(c.record, newest.step):
        changes["kept_until"] = newest.committed_at
    record = c.record.with_attempt(last.model_copy(update=changes))
    return record.but(progress=newest.step) if newest is not None else record


def _exit_fields(exit: Exit | None) -> dict[str, object]:
    return {} if exit is None else {"exit_code": exit.exit_code, "signal": exit.signal}


def _describe_end(c: Context) -> str:
    seen = c.observation.attempt
    if isinstance(seen, Lost):
        return "the machine was restarted" if seen.rebooted else "keeper and job died; the exit is unknown"
    if not isinstance(seen, Ended):
        return "ended"
    return _asked_cause(c) or _describe_exit(seen.exit)


def _describe_exit(exit: Exit) -> str:
    if exit.reason == "not_started":
        return exit.error or "the command could not be started"
    if exit.reason == "timed_out":
        return "killed: it had not ended when the grace was over"
    if exit.signal is not None:
        return f"killed by signal {exit.signal}"
    return f"exit code {exit.exit_code}"


def _asked_cause(c: Context) -> str | None:
    seen = c.observation.attempt
    asked = seen.exit.stop_reason if isinstance(seen, Ended) else None
    if asked is None or not isinstance(seen, Ended):
        return None
    late = ", killed when the grace was over" if seen.exit.reason == "timed_out" else ""
    return f"{asked}{late}"


def _idle_ends(record: JobRecord) -> int:
    """Attempts at the end of the history that resumed from where the one before did: they got nowhere."""
    count = 0
    for attempt in reversed(record.attempts):
        if attempt.kept_until is not None:
            break
        count += 1
    return count


def _newest_step(c: Context) -> int | None:
    return c.observation.checkpoint.step if c.observation.checkpoint else None


def _number(c: Context) -> int:
    phase = c.record.phase
    return phase.attempt if isinstance(phase, Starting | Running | Saving) else 0


def _with_step(word: str, record: JobRecord) -> str:
    return f"{word} at step {record.progress}" if record.progress is not None else word


def _tell(record: JobRecord, kind: str) -> Event:
    number = record.last_attempt.number if record.last_attempt else None
    return Event(kind=kind, text=record.reason, attempt=number, step=record.progress)
