"""Whether an attempt follows after a failure, and what it resumes from. Pure: it looks at the record, which holds how
each attempt ended, and at nothing else.

The rules, in this order:

1. A syntax error, or an import that fails, in a job of which no attempt ever came to a step: another one reads the same
   file. Given up at once.
2. Two attempts in a row resumed from the same checkpoint and died without a step, in a way that a checkpoint can be the
   reason for: it is suspect and stepped over, at most MAX_HOPS times until there is progress. It stays where it is: it
   may be innocent, and a script that resumes well from an older one sets it aside by itself.
3. The same failure twice at the same place: at the same step, or before there was any progress. Given up, with the
   evidence. Failures that lie outside the program (a network, another rank, a signal from somewhere) prove nothing by
   coming twice, and have no fingerprint or are marked transient.
4. The budget of the class is used up. Given up.
5. Otherwise it is tried again.
"""

from __future__ import annotations

from typing import NamedTuple

from perdured.core.ends.cause import Cause

from .budgets import count_failures, limit_of
from .record import AttemptRecord, JobRecord

MAX_HOPS = 3
LOADING = 120.0
"""Seconds: a program that reports no steps and died within this after its start had not got beyond loading."""

_HOPELESS = (Cause.SYNTAX_ERROR, Cause.IMPORT_ERROR)
_SUSPICIOUS = (Cause.EXCEPTION, Cause.EXIT_CODE, Cause.SIGNAL, Cause.CUDA_ERROR, Cause.NON_FINITE)
"""What a checkpoint may be the reason for."""
_REPEATABLE = (
    *(*_HOPELESS, Cause.EXCEPTION, Cause.EXIT_CODE, Cause.SIGNAL, Cause.CUDA_ERROR),
    *(Cause.HOST_MEMORY, Cause.GPU_MEMORY),
)
"""What follows from the program and its data. A number that is not finite has two more chances, by its budget."""


class GiveUp(NamedTuple):
    why: str


class StepOver(NamedTuple):
    checkpoint: str


class TryAgain(NamedTuple):
    used: int
    """Of the budget of this class."""
    limit: int


def judge_failure(record: JobRecord, failures: int) -> GiveUp | StepOver | TryAgain:
    """`record` ends with the attempt that failed, already charged; `failures` is the budget that the spec sets."""
    last = record.attempts[-1]
    assert last.end is not None
    cause, why = last.end.cause, last.end.why
    if cause in _HOPELESS and not _has_ever_stepped(record):
        return GiveUp(f"{why}; trying again cannot help")
    suspect = _find_suspect(record)
    if suspect is not None and record.hops < MAX_HOPS:
        return StepOver(suspect)
    if suspect is not None:
        return GiveUp(f"{why}; not one step was made from any of {MAX_HOPS + 1} checkpoints")
    place = _find_repetition(record)
    if place is not None:
        return GiveUp(f"{why}; the same failure twice {place}")
    used, limit = count_failures(record, cause), limit_of(cause, failures)
    if used >= limit:
        return GiveUp(_say_used_up(why, used, is_shared=limit == failures))
    return TryAgain(used, limit)


def _say_used_up(why: str, used: int, *, is_shared: bool) -> str:
    kind = "" if is_shared else " of this kind"
    count = f"1 failure{kind}" if used == 1 else f"{used} failures{kind} in a row"
    return f"{why}; gave up after {count} without progress"


def _has_ever_stepped(record: JobRecord) -> bool:
    return any(attempt.kept_until is not None or _made_step(attempt) for attempt in record.attempts)


def _find_suspect(record: JobRecord) -> str | None:
    """The checkpoint that the last two attempts resumed from and died with."""
    last_two = _last_that_ran(record, 2)
    if len(last_two) < 2 or not all(_died_of_its_checkpoint(attempt) for attempt in last_two):
        return None
    first, second = last_two
    return second.resumed_from if first.resumed_from == second.resumed_from else None


def _died_of_its_checkpoint(attempt: AttemptRecord) -> bool:
    """It may have: it resumed from one, made no step, and nothing else is known to be the reason."""
    end = attempt.end
    if end is None or attempt.resumed_from is None or end.is_transient or end.cause not in _SUSPICIOUS:
        return False
    from_outside = end.cause == Cause.SIGNAL and end.fingerprint is None
    return not from_outside and attempt.kept_until is None and not _made_step(attempt)


def _made_step(attempt: AttemptRecord) -> bool:
    """A program that reports none is given the time of loading before it is believed to have made some."""
    if attempt.step is not None:
        return attempt.step > (attempt.resumed_from_step or 0)
    if attempt.started_at is None or attempt.ended_at is None:
        return False
    return attempt.ended_at - attempt.started_at > LOADING


def _find_repetition(record: JobRecord) -> str | None:
    """Where the last failure is the one before it once more; None where it is another, or nobody can tell."""
    last_two = _last_that_ran(record, 2)
    if len(last_two) < 2:
        return None
    first, second = last_two
    if not _is_same_failure(first, second):
        return None
    step = _place_of(second)
    if step is not None and step == _place_of(first):
        return f"at step {step}"
    had_progress = any(attempt.kept_until is not None for attempt in record.attempts)
    began_elsewhere = first.resumed_from != second.resumed_from
    return None if had_progress or began_elsewhere else "before any progress"


def _is_same_failure(first: AttemptRecord, second: AttemptRecord) -> bool:
    one, other = first.end, second.end
    if one is None or other is None or other.fingerprint is None or other.is_transient:
        return False
    return other.cause in _REPEATABLE and (one.cause, one.fingerprint) == (other.cause, other.fingerprint)


def _place_of(attempt: AttemptRecord) -> int | None:
    """The step that it had come to."""
    return attempt.step if attempt.step is not None else attempt.resumed_from_step


def _last_that_ran(record: JobRecord, count: int) -> list[AttemptRecord]:
    """Those that ended because of a wish, a preemption or a reboot are between the others, and say nothing of them."""
    ran = [a for a in record.attempts[-20:] if a.pid is not None and a.number > record.judged_after]
    telling = [a for a in ran if a.end is None or a.end.cause not in (Cause.STOPPED, Cause.PREEMPTED, Cause.REBOOTED)]
    return telling[-count:]
