"""The one function that decides. `decide(spec, record, observation, now)` returns what the record becomes, what is
to be done, what to tell, when to look again and why; it asks no clock, reads no file and draws no lot.

The loop calls it until it asks for nothing more. It saves the record before it performs an action, so a daemon that
is killed in between finds the intent, and the decision is made again from what is seen then. "Why did it not
restart?" is answered by `perdured.core.judgement`.
"""

from __future__ import annotations

from .chronicle import note_pace, note_tally, stamp_change
from .decision import Context, Decision
from .diagnosis import diagnose
from .observation import Ended, Held, Lost, Observation, Orphaned
from .parking import find_next_look, find_notice_trigger
from .record import UNDER_WAY, JobRecord
from .spec import Spec
from .table import TABLE
from .triggers import find_trigger

__all__ = ["Decision", "decide"]


def decide(spec: Spec, record: JobRecord, observation: Observation, now: float) -> Decision:
    """The decision for a job whose newest attempt was seen like this at `now` (seconds, steady within a life)."""
    noted = _note_what_was_seen(record, observation)
    observation = diagnose(spec, observation)
    trigger = find_trigger(noted, observation.attempt, observation.turn, find_notice_trigger(noted, observation, now))
    decision = TABLE[record.phase.kind][trigger].step(Context(spec, noted, observation, now))
    decision = decision._replace(record=stamp_change(record, decision.record, now))
    return decision.before(find_next_look(observation, now))


def _note_what_was_seen(record: JobRecord, observation: Observation) -> JobRecord:
    """The record with the facts of the attempt under way filled in: process, start, where it resumed from; at its end
    what it reported last. And with the progress that is left where a checkpoint was stepped over."""
    seen, last, newest = observation.attempt, record.last_attempt, observation.checkpoint
    if record.suspects and newest is not None and record.progress is not None and newest.step < record.progress:
        record = record.but(progress=newest.step)
    if last is None or record.phase.kind not in UNDER_WAY or not isinstance(seen, Held | Orphaned | Ended | Lost):
        return record
    if isinstance(seen, Ended) and observation.step is None and seen.exit.step is not None:
        record = record.but(loss=seen.exit.loss, total=seen.exit.total)  # it ended while no daemon listened
    if isinstance(seen, Ended | Lost) and observation.step is not None:
        record = record.but(loss=observation.loss, total=observation.total)
    if seen.pid is None or seen.pid == last.pid:
        return note_pace(note_tally(record, observation.tally), observation.pace)
    facts = {
        "pid": seen.pid,
        "started_at": seen.started_at,
        "resumed_from_step": observation.resumed_from_step,
        "resumed_from": observation.resumed_from,
    }
    return record.with_attempt(last.model_copy(update=facts))
