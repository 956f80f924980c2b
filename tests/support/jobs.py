"""Specs, records and observations for tests, each with the usual values unless told otherwise."""

from __future__ import annotations

from typing import Any

from perdured.core.observation import (
    Absent,
    AttemptSeen,
    CheckpointSeen,
    Ended,
    Exit,
    Held,
    Lost,
    Observation,
    Orphaned,
    Refused,
    Unverifiable,
)
from perdured.core.record import (
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
from perdured.core.spec import Spec
from perdured.core.spec_text import parse_spec

NOW = 1_000_000.0
"""When a test's decision is made."""
PID = 4321


def make_spec(text: str = "") -> Spec:
    """`command` needs no saying."""
    return parse_spec('command = ["python", "train.py"]\n' + text)


def make_record(phase: Phase | None = None, *, wish: Wish = "run", attempts: int = 1, **changes: Any) -> JobRecord:
    """A job whose last attempt is the one of the phase; by default it runs its first."""
    phase = phase if phase is not None else Running(attempt=attempts)
    number = phase.attempt if isinstance(phase, Starting | Running | Saving) else attempts
    history = [make_attempt(n, is_under_way=False) for n in range(1, number + 1)]
    if isinstance(phase, Starting):
        history[-1] = AttemptRecord(number=number)
    elif isinstance(phase, Running | Saving):
        history[-1] = make_attempt(number)
    record = JobRecord(id="k7mq2xwp", name="gpt", submitted_at=NOW - 100, wish=wish, phase=phase)
    return record.but(attempts=tuple(history), **changes)


def make_attempt(number: int = 1, *, is_under_way: bool = True, **changes: Any) -> AttemptRecord:
    running = AttemptRecord(number=number, pid=PID + number, started_at=NOW - 50)
    ended = {} if is_under_way else {"ended_at": NOW - 10, "exit_code": 1, "cause": "exit code 1"}
    return running.model_copy(update=ended | changes)


PHASES: dict[str, Phase] = {
    "queued": Queued(),
    "starting": Starting(attempt=1),
    "running": Running(attempt=1),
    "saving": Saving(attempt=1, why="stop", asked_at=NOW - 1),
    "waiting": Waiting(until=NOW + 8, cause="exit code 1"),
    "parked": Parked(),
    "stopped": Stopped(),
    "succeeded": Succeeded(),
    "failed": Failed(),
}


# What is seen ---------------------------------------------------------------------------------------------------------


def observed(
    attempt: AttemptSeen | None = None, *, saved: int | None = None, resumed_from: int | None = None
) -> Observation:
    """`saved` is the step of the newest checkpoint."""
    newest = None if saved is None else CheckpointSeen(step=saved, path=f"/ckpt/{saved}", committed_at=NOW - 5)
    return Observation(
        attempt=attempt if attempt is not None else Absent(), checkpoint=newest, resumed_from_step=resumed_from
    )


def held(number: int = 1, *, stop_reason: str | None = None) -> Held:
    return Held(pid=PID + number, started_at=NOW - 50, stop_reason=stop_reason)


def ended(code: int | None = 0, *, number: int = 1, stop_reason: str | None = None, is_clean: bool = True) -> Ended:
    """It exited by itself, with this code."""
    exit = Exit(reason="exited", exit_code=code, at=NOW - 2, stop_reason=stop_reason)
    return Ended(pid=PID + number, started_at=NOW - 50, exit=exit, is_clean=is_clean)


def killed(signal: int = 9, *, stop_reason: str | None = None, is_late: bool = False) -> Ended:
    """A signal killed it; `is_late`: that was its keeper's, when the grace was over."""
    exit = Exit(reason="timed_out" if is_late else "signaled", signal=signal, at=NOW - 2, stop_reason=stop_reason)
    return Ended(pid=PID + 1, started_at=NOW - 50, exit=exit)


def not_started(error: str = "cannot start 'pithon': no such command") -> Ended:
    return Ended(exit=Exit(reason="not_started", error=error, at=NOW - 2))


def lost(*, rebooted: bool = False, is_clean: bool = True) -> Lost:
    return Lost(pid=PID + 1, started_at=NOW - 50, rebooted=rebooted, is_clean=is_clean)


def orphaned() -> Orphaned:
    return Orphaned(pid=PID + 1, started_at=NOW - 50)


def refused(why: str = "the disk is full", *, permanent: bool = False) -> Refused:
    return Refused(why=why, permanent=permanent)


def unverifiable() -> Unverifiable:
    return Unverifiable(why="run.json is garbled")


EVERY_SIGHT: dict[str, AttemptSeen] = {
    "absent": Absent(),
    "held": held(),
    "held without a leader": Held(),
    "held, told to stop": held(stop_reason="preempted"),
    "done": ended(0),
    "failed": ended(1),
    "again": ended(75),
    "permanent": ended(78),
    "done as asked": ended(0, stop_reason="stop"),
    "again as asked": ended(75, stop_reason="preempted"),
    "killed": killed(9),
    "killed late": killed(9, stop_reason="stop", is_late=True),
    "not clean": ended(1, is_clean=False),
    "not started": not_started(),
    "orphaned": orphaned(),
    "lost": lost(),
    "lost, not clean": lost(is_clean=False),
    "rebooted": lost(rebooted=True, is_clean=False),
    "refused": refused(),
    "refused for good": refused(permanent=True),
    "unverifiable": unverifiable(),
}
"""One of each kind that `decide` tells apart."""
