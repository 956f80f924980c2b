"""The ledger: every second of a job's wall time, from its submission until now or its end, belongs to one part.

| part | is the time |
|---|---|
| queued | from the submission, or from coming back into the queue, to the decision to start |
| starting | from there to the program's first word: clean ground, resume, interpreter, imports, the model |
| loading | from there to the first step |
| useful | of training at steps that no attempt had reached before |
| redone | of training at steps that an earlier attempt had reached already |
| saving | in which training stood still for a save |
| hung | from the last sign of life to the end, of an attempt that was ended because it hung |
| waiting | between an end and the next start: backoff, storage, a machine that is away or asleep, a job that rests; |
|  | also while it stands still for a notice |

Pure, from the record alone; nothing is added up from day to day that could be lost. A cursor goes from the submission
to the end and never back, and what it passes over is given away at once: so the parts add up to the whole, whatever the
clocks did, and no second is counted twice.

A step is redone where it is done again, not where it was lost: so nothing that was useful stops being so later. Which
share of an attempt's training that is, is told by steps, as if each took as long as the others. A program that tells no
steps redoes as many seconds as went by between its last checkpoint and its end.

Known limits. When an attempt ended that nobody saw end is not known: what comes after the last that was heard of it
counts as waiting. Of an attempt of an older version nothing is known but its beginning and end: all of it was training.
So is the beginning of a program that has told nothing yet, in a job that never has.
"""

from __future__ import annotations

from typing import NamedTuple

from perdured.core.ends.cause import Cause

from .observation import Observation
from .record import UNDER_WAY, AttemptRecord, JobRecord
from .tally import Tally
from .value import Value

_UNSEEN = (Cause.UNKNOWN, Cause.REBOOTED)
_OVER = ("stopped", "succeeded", "failed")
"""Phases in which the clock of a job stands still. What is parked goes on waiting."""


class Ledger(Value):
    """Seconds."""

    useful: float = 0.0
    redone: float = 0.0
    starting: float = 0.0
    loading: float = 0.0
    saving: float = 0.0
    hung: float = 0.0
    waiting: float = 0.0
    queued: float = 0.0

    @property
    def whole(self) -> float:
        return sum((float(getattr(self, part)) for part in PARTS), 0.0)

    @property
    def goodput(self) -> float | None:
        """None before the first second."""
        return self.useful / self.whole if self.whole > 0 else None


PARTS = tuple(Ledger.model_fields)


class _Reached(NamedTuple):
    """How far the attempts so far had come."""

    step: int | None = None
    lost: float = 0.0
    """Seconds of work between the last checkpoint and the end."""


class _Book:
    """Gives away the time up to a moment, which lies between the cursor and the end."""

    def __init__(self, begin: float, end: float) -> None:
        self.at, self.end = begin, max(begin, end)
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def pass_to(self, moment: float | None, part: str) -> float:
        """Seconds that it was; an unknown moment is the present one."""
        if moment is None:
            return 0.0
        moment = min(max(moment, self.at), self.end)
        passed, self.at = moment - self.at, moment
        self.seconds[part] += passed
        return passed


def make_ledger(record: JobRecord, seen: Observation, now: float) -> Ledger:
    """Of what is recorded, and of what the keeper tells now of the attempt under way."""
    ended_at = record.ended_at if record.phase.kind in _OVER else None
    book, reached = _Book(record.submitted_at, ended_at if ended_at is not None else now), _Reached()
    attempts = _agree_on_telling(_bring_up_to_date(record, seen))
    for attempt, following in zip(attempts, (*attempts[1:], None), strict=False):
        _pass_beginning(book, attempt, is_first=attempt is attempts[0])
        if attempt.started_at is not None:
            reached = _pass_attempt(book, attempt, reached, _find_end(attempt, following))
        elif attempt.ended_at is not None:
            book.pass_to(attempt.ended_at, "starting")
    _pass_rest(book, record)
    return Ledger(**book.seconds)


def _bring_up_to_date(record: JobRecord, seen: Observation) -> tuple[AttemptRecord, ...]:
    last = record.last_attempt
    if last is None or record.phase.kind not in UNDER_WAY or last.ended_at is not None:
        return record.attempts
    changes = {"tally": seen.tally or last.tally, "step": seen.step if seen.step is not None else last.step}
    return (*record.attempts[:-1], last.model_copy(update=changes))


def _agree_on_telling(attempts: tuple[AttemptRecord, ...]) -> tuple[AttemptRecord, ...]:
    """Where one attempt has told its steps, another that told nothing had not got beyond its imports."""
    if not any(attempt.tally is not None and attempt.tally.is_measured for attempt in attempts):
        return attempts
    measured = {"is_measured": True}
    return tuple(a.model_copy(update={"tally": a.tally and a.tally.model_copy(update=measured)}) for a in attempts)


def _pass_beginning(book: _Book, attempt: AttemptRecord, *, is_first: bool) -> None:
    """All that was before the command ran."""
    if not is_first:
        book.pass_to(attempt.queued_at or attempt.launched_at or attempt.started_at, "waiting")
    book.pass_to(attempt.launched_at or attempt.started_at, "queued")
    book.pass_to(attempt.started_at, "starting")


def _find_end(attempt: AttemptRecord, following: AttemptRecord | None) -> float | None:
    """None while it runs."""
    if attempt.ended_at is not None or following is None:
        return attempt.ended_at
    return following.queued_at or following.launched_at or following.started_at


def _pass_attempt(book: _Book, attempt: AttemptRecord, reached: _Reached, end: float | None) -> _Reached:
    tally = attempt.tally
    end = min(end if end is not None else book.end, book.end)
    silent_from, silence = _find_silence(attempt, end)
    parts = _divide(max(silent_from - book.at, 0.0), tally)
    for part in ("starting", "loading", "saving", "waiting"):
        book.pass_to(book.at + parts[part], part)
    worked = max(min(silent_from, book.end) - book.at, 0.0)
    redone = min(_count_redone(attempt, reached, worked), worked)
    book.pass_to(book.at + redone, "redone")
    book.pass_to(silent_from, "useful")
    book.pass_to(end, silence)
    return _reach(attempt, reached, worked)


def _find_silence(attempt: AttemptRecord, end: float) -> tuple[float, str]:
    """From when on it did nothing, and the part that this belongs to."""
    tally = attempt.tally
    silence = tally.silence if tally is not None else 0.0
    if attempt.hung_since is not None or attempt.cause == Cause.HANG:
        return (attempt.hung_since if attempt.hung_since is not None else end - silence), "hung"
    if attempt.cause in _UNSEEN and attempt.started_at is not None:
        heard = attempt.started_at + (tally.total if tally is not None else 0.0)
        return min(max(heard, attempt.kept_until or heard), end), "waiting"
    return end, "useful"


def _divide(span: float, tally: Tally | None) -> dict[str, float]:
    """Of so many seconds: those that were no work. What is neither is work."""
    parts = {"starting": 0.0, "loading": 0.0, "saving": 0.0, "waiting": 0.0}
    if tally is None:
        return parts
    untold = tally.untold if tally.is_measured else 0.0
    told = {"starting": untold, "loading": tally.loading, "saving": tally.saving}
    told["waiting"] = tally.asleep + tally.standing
    left = span
    for part, seconds in told.items():
        parts[part] = min(seconds, left)
        left -= parts[part]
    is_open = {"loading": "loading", "saving": "saving", "standing": "waiting"}
    is_open |= {"untold": "starting"} if tally.is_measured else {}
    open_part = is_open.get(tally.part)
    if open_part is not None:
        worked = tally.training + (0.0 if tally.is_measured else tally.untold)
        parts[open_part] += max(left - worked, 0.0)
    return parts


def _count_redone(attempt: AttemptRecord, reached: _Reached, worked: float) -> float:
    """Seconds of so many seconds of work."""
    if attempt.tally is None or not attempt.tally.is_measured:
        return reached.lost
    begin, step = attempt.resumed_from_step or 0, attempt.step
    if reached.step is None or reached.step <= begin:
        return 0.0
    if step is None or step <= begin:
        return worked
    return worked * min((reached.step - begin) / (step - begin), 1.0)


def _reach(attempt: AttemptRecord, reached: _Reached, worked: float) -> _Reached:
    kept = _count_kept(attempt)
    furthest = max(reached.lost, worked)
    lost = max(furthest - kept, 0.0) if kept is not None else furthest
    steps = [step for step in (reached.step, attempt.step, attempt.resumed_from_step) if step is not None]
    return _Reached(max(steps, default=None), lost)


def _count_kept(attempt: AttemptRecord) -> float | None:
    """Seconds of its work that its checkpoints hold; None where it made none."""
    if attempt.tally is not None and attempt.tally.kept is not None:
        return attempt.tally.kept
    if attempt.kept_until is None or attempt.started_at is None:
        return None
    return max(attempt.kept_until - attempt.started_at, 0.0)


def _pass_rest(book: _Book, record: JobRecord) -> None:
    """What follows the last attempt."""
    if record.phase.kind == "queued":
        book.pass_to(record.phase_since if record.attempts else None, "waiting")
        book.pass_to(book.end, "queued")
    book.pass_to(book.end, "starting" if record.phase.kind == "starting" else "waiting")
