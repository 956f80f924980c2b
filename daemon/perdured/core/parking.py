"""The cells of the table for a notice: the machine may be taken away, and the job saves and stands still where it is.

A script that uses `perdure.Run` stands still at a safe point, and goes on from there when the notice is withdrawn: its
bits are then those of a run that never heard of one. Any other program is asked to end, as for a stop, and starts again
when the notice is withdrawn or the machine is back.

Facts about the attempt and wishes come before a notice: what has ended has ended, what is told to stop stops, and what
hangs is ended as a hang, with the last snapshot that its keeper holds.
"""

from __future__ import annotations

from . import steps
from .actions import GoOn, Park, Save, Stop
from .decision import Context, Decision, tell
from .notice_plan import Answer, join_pace
from .observation import Held, Observation
from .record import UNDER_WAY, JobRecord, Parked, ParkedInPlace, Queued, Running, Saving, Starting, Waiting
from .triggers import Trigger
from .words import say_going_on, say_noticed, say_standing

NOTICE = "notice"
"""Why it saves, where it is to stand still afterwards."""
RECHECK = 5.0
PATIENCE = 60.0
"""Seconds for which it goes on standing still, where a notice was put off: to go on for less is not worth a save."""
RECHECK_FENCE = 30.0
_LEAST_GRACE = 1.0


def find_notice_trigger(record: JobRecord, observation: Observation, now: float) -> Trigger | None:
    """What the notices that stand, or stand no more, make of a job that a keeper holds; None: nothing."""
    seen, phase, answer = observation.attempt, record.phase, observation.answer
    if phase.kind not in UNDER_WAY:
        is_kept_off = observation.fence is not None or observation.unleased is not None
        return Trigger.FENCED if is_kept_off and _would_start(record, now) else None
    if not isinstance(seen, Held) or seen.stop_reason is not None or seen.has_ended or seen.trouble is not None:
        return None
    if isinstance(phase, Saving) and phase.why != NOTICE:
        return None
    is_over = answer is None or answer.begin_at > now + PATIENCE
    if seen.stand is not None:
        return Trigger.LIFTED if is_over and observation.unleased is None else Trigger.STANDS
    if seen.is_asked_to_park or isinstance(phase, Saving):
        return Trigger.LIFTED if is_over else Trigger.NOTICED
    if answer is None or not isinstance(phase, Starting | Running | ParkedInPlace):
        return None
    if answer.saves and now >= answer.begin_at:
        return Trigger.NOTICED
    return Trigger.FORETOLD if isinstance(phase, Running) and phase.heeded != _mark(answer) else None


def _mark(answer: Answer) -> str:
    return f"{answer.notice}: {answer.kind}"


def _would_start(record: JobRecord, now: float) -> bool:
    phase = record.phase
    if record.wish not in ("run", "restart"):
        return False
    is_waited = isinstance(phase, Waiting) and (phase.until <= now or record.wish == "restart")
    return record.awaits_turn or is_waited


def find_next_look(observation: Observation, now: float) -> float | None:
    """When a notice asks for something, without anything happening."""
    answer = observation.answer
    if answer is None or not isinstance(observation.attempt, Held) or answer.begin_at <= now:
        return None
    return answer.begin_at


def then_heed(c: Context) -> Decision:
    """It trains on: nothing can be saved, or there is time, and a checkpoint at once is for the case that it breaks."""
    answer = _answer(c)
    phase = Running(attempt=c.attempt, heeded=_mark(answer))
    record = c.record.but(phase=phase, reason=say_noticed(answer.warning, answer.why))
    action = Save(attempt=c.attempt, before=(answer.until - c.now) / 2)
    return Decision(record, (action,) if answer.saves and _held(c).can_park else (), (tell(record, "note"),))


def then_park(c: Context) -> Decision:
    """Asked until the keeper is seen to know it: the first asking may have died with a daemon."""
    seen, phase = _held(c), c.record.phase
    if not (seen.can_park or seen.is_asked_to_park):
        return _ask_to_end(c)
    if seen.is_asked_to_park and isinstance(phase, Saving):
        return Decision(c.record, (), (), c.now + RECHECK)
    answer = _answer(c)
    action = Park(attempt=c.attempt, before=max(answer.deadline - c.now, 0.0))
    if isinstance(phase, Saving):
        return Decision(c.record, (action,), (), c.now + RECHECK)
    saving = Saving(attempt=c.attempt, why=NOTICE, asked_at=c.now)
    record = c.record.but(phase=saving, reason=say_noticed(answer.warning, answer.why))
    return Decision(record, (action,), (tell(record, "saving"),), c.now + RECHECK)


def _ask_to_end(c: Context) -> Decision:
    """It cannot stand still, so it is parked as at a shutdown, and starts again when the notice is withdrawn."""
    answer = _answer(c)
    grace = min(c.spec.stop.grace, max(answer.deadline - c.now, _LEAST_GRACE))
    saving = Saving(attempt=c.attempt, why="preempted", asked_at=c.now, by_notice=True)
    record = c.record.but(wish="park", phase=saving, reason=say_noticed(answer.warning, answer.why))
    return Decision(record, (Stop(attempt=c.attempt, reason="preempted", grace=grace),), (tell(record, "saving"),))


def then_stand(c: Context) -> Decision:
    stand = _held(c).stand
    assert stand is not None
    phase = ParkedInPlace(attempt=c.attempt, step=stand.step, saved=stand.saved)
    # If its machine goes now, nobody will tell any more what its saves have taken.
    record = c.record.but(phase=phase, reason=say_standing(phase), pace=join_pace(c.observation.pace, c.record.pace))
    return Decision(record, (), (tell(record, "parked"),) if c.record.phase != phase else ())


def then_let_go_on(c: Context) -> Decision:
    """The notice was withdrawn, or did not come true."""
    record = c.record
    if record.phase.kind != "running":
        record = record.but(phase=Running(attempt=c.attempt), reason=say_going_on(c.attempt))
    events = (tell(record, "going_on"),) if record != c.record else ()
    return Decision(record, (GoOn(attempt=c.attempt),), events, c.now + RECHECK)


def then_run_on(c: Context) -> Decision:
    """It goes on by itself: its keeper died, or it was let go on by a daemon that is no more."""
    record = c.record.but(phase=Running(attempt=c.attempt), reason=say_going_on(c.attempt))
    return Decision(record, (), (tell(record, "going_on"),))


def then_keep_off(c: Context) -> Decision:
    """Nothing is started on a machine that is about to die; and no job of which another host has the lease."""
    reason = c.observation.fence or c.observation.unleased
    assert reason is not None
    record = c.record.but(reason=reason)
    return Decision(record, (), (tell(record, "fenced"),) if record != c.record else (), c.now + RECHECK_FENCE)


def then_come_back(c: Context) -> Decision:
    """It had to end for a notice that stands no more; or for another job, and its turn has come."""
    phase = c.record.phase
    if not isinstance(phase, Parked) or not phase.by_notice:
        return steps.then_come_back(c)
    if c.observation.answer is not None or c.observation.fence is not None or c.observation.unleased is not None:
        return Decision(c.record)
    queued = Queued(goes_on=True)
    record = c.record.but(phase=queued, reason="the notice was withdrawn: going on", ended_at=None)
    return Decision(record, (), (tell(record, "queued"),))


def _held(c: Context) -> Held:
    seen = c.observation.attempt
    assert isinstance(seen, Held)
    return seen


def _answer(c: Context) -> Answer:
    assert c.observation.answer is not None
    return c.observation.answer
