"""The cells of the table for what is before and while an attempt runs: `then_*`, as in trigger, *then* this.

What follows its end is in `perdured.core.endings`.
"""

from __future__ import annotations

from perdured.core.ends.cause import Cause
from perdured.core.queue.turn import ASIDE
from perdured.core.queue.words import say_obstacle

from .actions import Action, Clean, Dump, Forget, Launch, Look, Probe, Stop
from .decision import Context, Decision, tell
from .diagnosis import list_watched
from .endings import come_to_rest, fail_unstarted, hold
from .events import Event
from .hang import HANG_GRACE, find_delay, find_tick, is_suspicious
from .observation import Held, Orphaned, Trouble, Unverifiable
from .policy import LONGEST_PROBE, probe_delay
from .record import AttemptRecord, JobRecord, Queued, Running, Saving, Starting, Waiting
from .words import say_running, say_saving, say_starting

MAX_LAUNCHES = 3
OWN_REASONS = ("hang", "non_finite", ASIDE)
"""Of a stop that nobody asked for: nobody's wish repeats it either."""
RECHECK = 5.0
"""Seconds until a second look where no event may come: at what could not be observed, or has no keeper."""


def then_nothing(c: Context) -> Decision:
    return Decision(c.record)


def then_stay(c: Context) -> Decision:
    """A wish that is fulfilled already."""
    return Decision(c.record.but(wish="run"))


def then_stay_parked(c: Context) -> Decision:
    """What had stepped aside does not come back by itself any more, but with the next daemon."""
    return then_rest(c) if c.record.awaits_turn else then_stay(c)


def then_come_back(c: Context) -> Decision:
    return then_launch(c) if c.record.awaits_turn else then_nothing(c)


def then_rest(c: Context) -> Decision:
    """Asked to end while nothing runs."""
    return come_to_rest(c.record, c.now)


def then_forget(c: Context) -> Decision:
    return Decision(c.record.but(reason="removed"), (Forget(),))


# Starting -------------------------------------------------------------------------------------------------------------


def then_launch(c: Context) -> Decision:
    """A new attempt. The record that says so is saved before the keeper is started."""
    last = c.record.last_attempt
    number, why = (last.number + 1, last.why) if last else (1, None)
    phase = c.record.phase
    is_asked = c.record.wish == "restart" or (isinstance(phase, Queued) and not phase.goes_on)
    was_asked = last is not None and is_asked
    record = _judge_anew(c).with_attempt(AttemptRecord(number=number, gpus=c.observation.turn.gpus))
    record = record.but(
        wish="run",
        phase=Starting(attempt=number, restart_reason=why),
        reason=say_starting(number, "asked to run again" if was_asked else why),
        ended_at=None,
    )
    launch = _make_launch(record, number, why)
    return Decision(record, (launch,), (tell(record, "starting"),))


def then_launch_again(c: Context) -> Decision:
    """The intent was recorded but nothing ran: a daemon died in between, or the keeper could not come up."""
    phase = c.record.phase
    assert isinstance(phase, Starting)
    if c.record.wish != "run" or phase.launches >= MAX_LAUNCHES:
        return fail_unstarted(c, "its keeper did not come up" if c.record.wish == "run" else "never started")
    again = phase.model_copy(update={"launches": phase.launches + 1})
    launch = _make_launch(c.record, phase.attempt, phase.restart_reason)
    return Decision(c.record.but(phase=again), (launch,))


def _make_launch(record: JobRecord, attempt: int, why: str | None) -> Launch:
    last = record.last_attempt
    return Launch(
        attempt=attempt,
        restart_reason=why,
        step_over=record.suspects,
        is_first=not record.has_run,
        skip=record.skip,
        gpus=last.gpus if last is not None else (),
    )


def then_queue(c: Context) -> Decision:
    record = _judge_anew(c).but(wish="run", phase=Queued(), reason="asked to run again", ended_at=None)
    return Decision(record, (), (tell(record, "queued"),))


def then_launch_in_turn(c: Context) -> Decision:
    """Asked to start now, which ends every wait but that for a turn."""
    if c.observation.turn.kind == "go":
        return then_launch(c)
    if isinstance(c.record.phase, Queued):
        return Decision(_judge_anew(c).but(wish="run"))
    return _queue_again(c)


def _queue_again(c: Context) -> Decision:
    """Its place has gone to somebody else meanwhile."""
    obstacle = c.observation.turn.obstacle
    reason = f"queued: {say_obstacle(obstacle)}" if obstacle is not None else "queued"
    queued = Queued(goes_on=c.record.wish != "restart")
    record = _judge_anew(c).but(wish="run", phase=queued, reason=reason)
    return Decision(record, (), (tell(record, "queued"),))


def _launch_or_queue(c: Context) -> Decision:
    return then_launch(c) if c.observation.turn.kind == "go" else _queue_again(c)


def then_wait_or_launch(c: Context) -> Decision:
    phase = c.record.phase
    assert isinstance(phase, Waiting)
    # A wall clock that was set back while no daemon ran must not stretch the wait beyond the longest there is.
    until = min(phase.until, c.now + (LONGEST_PROBE if phase.probes else c.spec.restart.backoff.longest))
    if until <= c.now:
        return _probe_or_launch(c, phase) if phase.probes else _launch_or_queue(c)
    return Decision(c.record.but(phase=phase.model_copy(update={"until": until})), (), (), until)


def _probe_or_launch(c: Context, phase: Waiting) -> Decision:
    """A probe counts only if it was made after the wait was over; an older one says nothing of now."""
    seen, last = c.observation.ground, c.record.attempts[-1]
    if seen is None or not phase.until <= seen.at <= c.now:
        return Decision(c.record, (Probe(),), (), c.now + RECHECK)
    if seen.fault is None:
        return _launch_or_queue(c)
    return hold(c, c.record, seen.fault.why, seen.fault.cause, probe_delay(last.cause or Cause.DISK_FULL))


def _judge_anew(c: Context) -> JobRecord:
    """Asked for by hand, every budget starts anew; a parked job only goes on."""
    by_hand = c.record.wish == "restart" and c.record.phase.kind != "parked"
    return c.record.renewed() if by_hand else c.record


# Running --------------------------------------------------------------------------------------------------------------


def then_run(c: Context) -> Decision:
    """A keeper that holds the attempt's lock and nothing else yet may still end without having run anything."""
    seen = c.observation.attempt
    if isinstance(seen, Held) and seen.pid is None:
        return Decision(c.record, (), (), c.now + RECHECK)
    record = c.record.but(phase=Running(attempt=c.attempt), reason=say_running(c.attempt))
    return Decision(record, (), (tell(record, "started"),))


def then_watch(c: Context) -> Decision:
    """All is well, and the keeper's next word will wake us. A stop that somebody else asked for is taken note of."""
    seen, phase = c.observation.attempt, c.record.phase
    assert isinstance(seen, Held)
    if seen.stop_reason is None:
        if isinstance(phase, Saving) and phase.why in OWN_REASONS:
            return Decision(c.record, (_stop(c, phase.why),), (), c.now + RECHECK)
        if seen.has_ended:
            return _wait_for_the_rest(c, seen)
        return _watch_signs(c, _keep_running(c))
    reason = say_saving(seen.stop_reason, _grace_of(c, seen.stop_reason))
    if isinstance(phase, Saving):
        return _wait_for_the_end(c, seen, c.record.but(reason=reason), phase)
    phase = Saving(attempt=c.attempt, why=seen.stop_reason, asked_at=c.now)
    record = c.record.but(phase=phase, reason=reason)
    return Decision(record, (), (tell(record, "saving"),), _find_kill(c, phase) + RECHECK)


def _wait_for_the_end(c: Context, seen: Held, record: JobRecord, phase: Saving) -> Decision:
    """The keeper kills at the deadline, and tells of the end. One that does not come then is looked for."""
    wake_at = max(_find_kill(c, phase), c.now) + RECHECK
    if seen.stuck is None:
        return Decision(record, (), (), wake_at)
    reason = f"attempt {c.attempt} was killed, but {seen.stuck}: it ends when it wakes"
    events = (Event(kind="note", text=reason, attempt=c.attempt),) if c.record.reason != reason else ()
    return Decision(record.but(reason=reason), (), events, wake_at)


def _find_kill(c: Context, phase: Saving) -> float:
    return phase.asked_at + _grace_of(c, phase.why)


def _keep_running(c: Context) -> JobRecord:
    """With the reason that a notice gave, as long as it stands: no other is of more interest."""
    phase = c.record.phase
    if isinstance(phase, Running) and phase.heeded is not None and c.observation.answer is not None:
        return c.record
    return c.record.but(phase=Running(attempt=c.attempt), reason=say_running(c.attempt))


def _wait_for_the_rest(c: Context, seen: Held) -> Decision:
    """Looked at now and then, and named: who waits for it spins on nothing."""
    reason = f"attempt {c.attempt} has ended, and what it left behind is being cleared away"
    if seen.stuck is not None:
        reason = f"attempt {c.attempt} has ended, but {seen.stuck}: not even SIGKILL ends it before it wakes"
    events = (Event(kind="note", text=reason, attempt=c.attempt),) if seen.stuck and c.record.reason != reason else ()
    return Decision(c.record.but(reason=reason), (), events, c.now + RECHECK)


def _watch_signs(c: Context, record: JobRecord) -> Decision:
    """When to look at its signs of life again; with its stacks, where one has been missing for half of its time."""
    vitals = c.observation.vitals
    watched = list_watched(c.spec.health, vitals)
    if not watched:
        return Decision(record)
    delay = min(find_delay(each, vitals.at) for each in watched)
    if delay > 0:
        return Decision(record, (), (), c.now + delay)
    look = Look(attempt=c.attempt, with_stacks=any(is_suspicious(each) for each in watched))
    return Decision(record, (look,), (), c.now + min(find_tick(each.limit) for each in watched))


def then_end_the_hang(c: Context) -> Decision:
    """The evidence first, which dies with the process; then a save is offered, and SIGKILL follows."""
    trouble = _trouble(c)
    return _stop_by_ourselves(c, trouble, (Dump(attempt=c.attempt, why=trouble.why), _stop(c, trouble.kind)))


def then_stop_the_training(c: Context) -> Decision:
    """What it computes from here on is of no use. The next attempt goes on from the last healthy checkpoint."""
    trouble = _trouble(c)
    return _stop_by_ourselves(c, trouble, (_stop(c, trouble.kind),))


def _trouble(c: Context) -> Trouble:
    seen = c.observation.attempt
    assert isinstance(seen, Held)
    assert seen.trouble is not None
    return seen.trouble


def _stop_by_ourselves(c: Context, trouble: Trouble, actions: tuple[Action, ...]) -> Decision:
    reason = f"{trouble.why}: {say_saving(trouble.kind, _grace_of(c, trouble.kind))}"
    phase = Saving(attempt=c.attempt, why=trouble.kind, asked_at=c.now, found=trouble.why)
    record = c.record.but(phase=phase, reason=reason)
    if trouble.kind == "hang":
        since = {"hung_since": c.now - trouble.silence}
        record = record.with_attempt(record.attempts[-1].model_copy(update=since))
    return Decision(record, actions, (tell(record, "hung" if trouble.kind == "hang" else "saving"),))


def _stop(c: Context, why: str) -> Stop:
    return Stop(attempt=c.attempt, reason=why, grace=_grace_of(c, why))


def _grace_of(c: Context, why: str) -> float:
    grace = c.spec.stop.grace
    return min(grace, HANG_GRACE) if why == "hang" else grace


def then_watch_orphan(c: Context) -> Decision:
    """Nothing is killed for want of a keeper: the job goes on, watched from afar, its exit will be unknown."""
    seen = c.observation.attempt
    assert isinstance(seen, Orphaned)
    reason = f"attempt {c.attempt} runs without its keeper (pid {seen.pid}); its exit status will be unknown"
    phase = c.record.phase if isinstance(c.record.phase, Saving) else Running(attempt=c.attempt)
    record = c.record.but(phase=phase, reason=reason)
    events = () if c.record.reason == reason else (Event(kind="orphaned", text=reason, attempt=c.attempt),)
    return Decision(record, (), events, c.now + RECHECK)


def then_hold_still(c: Context) -> Decision:
    """Unknown is not dead: nothing is started, signalled or declared over."""
    seen = c.observation.attempt
    assert isinstance(seen, Unverifiable)
    reason = f"attempt {c.attempt} cannot be observed and is left alone: {seen.why}"
    return Decision(c.record.but(reason=reason), (), (), c.now + RECHECK)


def then_clean(c: Context) -> Decision:
    """Two writers on one checkpoint directory must be impossible: an attempt is over when nothing of it lives."""
    record = c.record.but(reason=f"clearing away what is left of attempt {c.attempt}")
    return Decision(record, (Clean(attempt=c.attempt),), (), c.now + RECHECK)


def then_step_aside(c: Context) -> Decision:
    """It saves first, and goes on by itself when its turn comes again."""
    obstacle = c.observation.turn.obstacle
    assert obstacle is not None
    reason = f"{say_obstacle(obstacle)}: {say_saving(ASIDE, _grace_of(c, ASIDE))}"
    record = c.record.but(phase=Saving(attempt=c.attempt, why=ASIDE, asked_at=c.now), reason=reason)
    return Decision(record, (_stop(c, ASIDE),), (tell(record, "saving"),))


# Asked to end ---------------------------------------------------------------------------------------------------------


def then_ask_to_stop(c: Context) -> Decision:
    """The leader alone gets the signal; the keeper holds the deadline, also should the daemon die now."""
    grace = c.spec.stop.grace
    why = {"park": "preempted", "restart": "restart"}.get(c.record.wish, "stop")
    record = c.record.but(phase=Saving(attempt=c.attempt, why=why, asked_at=c.now), reason=say_saving(why, grace))
    return Decision(record, (Stop(attempt=c.attempt, reason=why, grace=grace),), (tell(record, "saving"),))


def then_ask_again_to_stop(c: Context) -> Decision:
    """A stop is repeated until the keeper is seen to have accepted it: the first may have died with a daemon."""
    seen, phase = c.observation.attempt, c.record.phase
    assert isinstance(phase, Saving)
    grace = _grace_of(c, phase.why)
    asked_at = min(phase.asked_at, c.now)
    record = c.record.but(phase=phase.model_copy(update={"asked_at": asked_at}), reason=say_saving(phase.why, grace))
    if isinstance(seen, Held) and seen.stop_reason is not None:
        return _wait_for_the_end(c, seen, record, phase)
    if isinstance(seen, Orphaned) and c.now > asked_at + grace:
        return Decision(record, (Clean(attempt=c.attempt),), (), c.now + RECHECK)
    return Decision(record, (_stop(c, phase.why),), (), c.now + RECHECK)
