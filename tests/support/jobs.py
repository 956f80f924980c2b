"""Specs, records and observations for tests, each with the usual values unless told otherwise."""

from __future__ import annotations

from typing import Any

from perdured.core.ends.cause import Cause
from perdured.core.ends.end import End
from perdured.core.ends.evidence import Evidence
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
    Stand,
    Trouble,
    Unverifiable,
)
from perdured.core.queue.amounts import Amounts
from perdured.core.queue.demand import Demand
from perdured.core.queue.turn import Lacks, MakesRoom, Turn
from perdured.core.record import (
    AttemptRecord,
    Failed,
    JobRecord,
    Parked,
    ParkedInPlace,
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

FAILURE = End(cause=Cause.EXIT_CODE, why="exit code 1")
NOW = 1_000_000.0
"""When a test's decision is made."""
PID = 4321


def make_spec(text: str = "") -> Spec:
    """`command` needs no saying."""
    return parse_spec('command = ["python", "train.py"]\n' + text)


def make_record(phase: Phase | None = None, *, wish: Wish = "run", attempts: int = 1, **changes: Any) -> JobRecord:
    """A job whose last attempt is the one of the phase; by default it runs its first."""
    phase = phase if phase is not None else Running(attempt=attempts)
    number = phase.attempt if isinstance(phase, Starting | Running | Saving | ParkedInPlace) else attempts
    history = [make_attempt(n, is_under_way=False) for n in range(1, number + 1)]
    if isinstance(phase, Starting):
        history[-1] = AttemptRecord(number=number)
    elif isinstance(phase, Running | Saving | ParkedInPlace):
        history[-1] = make_attempt(number)
    record = JobRecord(id="k7mq2xwp", name="gpt", submitted_at=NOW - 100, wish=wish, phase=phase)
    return record.but(attempts=tuple(history), **changes)


def make_attempt(number: int = 1, *, is_under_way: bool = True, **changes: Any) -> AttemptRecord:
    running = AttemptRecord(number=number, pid=PID + number, started_at=NOW - 50)
    ended = {} if is_under_way else {"ended_at": NOW - 10, "exit_code": 1, "end": FAILURE}
    return running.model_copy(update=ended | changes)


PHASES: dict[str, Phase] = {
    "queued": Queued(),
    "starting": Starting(attempt=1),
    "running": Running(attempt=1),
    "saving": Saving(attempt=1, why="stop", asked_at=NOW - 1),
    "parked_in_place": ParkedInPlace(attempt=1, step=12, saved=True),
    "waiting": Waiting(until=NOW + 8),
    "parked": Parked(),
    "stopped": Stopped(),
    "succeeded": Succeeded(),
    "failed": Failed(),
}


NOT_YET = Turn("wait", Lacks(Amounts(1, 4), Amounts(1, 1), ("cpus",)))
OUTRANKED = Turn("aside", MakesRoom(Demand("urgent", "big", Amounts(1, 4), "ready", priority=5)))


# What is seen ---------------------------------------------------------------------------------------------------------


def observed(
    attempt: AttemptSeen | None = None, *, saved: int | None = None, resumed_from: int | None = None
) -> Observation:
    """`saved` is the step of the newest checkpoint."""
    newest = None if saved is None else CheckpointSeen(step=saved, path=f"/ckpt/{saved}", committed_at=NOW - 5)
    return Observation(
        attempt=attempt if attempt is not None else Absent(), checkpoint=newest, resumed_from_step=resumed_from
    )


def held(number: int = 1, *, stop_reason: str | None = None, trouble: Trouble | None = None) -> Held:
    return Held(pid=PID + number, started_at=NOW - 50, stop_reason=stop_reason, trouble=trouble)


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


def failed(cause: Cause) -> Ended:
    """It ended with the evidence that makes it this class of failure."""
    output, code, signal = EVIDENCE[cause]
    exit = Exit(
        reason="exited" if signal is None else "signaled",
        exit_code=code,
        signal=signal,
        at=NOW - 2,
        oom_kills=1 if cause == Cause.HOST_MEMORY else None,
        stop_reason="hang" if cause == Cause.HANG else None,
    )
    return Ended(pid=PID + 1, started_at=NOW - 50, exit=exit, evidence=Evidence(output=tuple(output.splitlines())))


_FRAME = 'Traceback (most recent call last):\n  File "train.py", line 5, in main\n    step()\n'
EVIDENCE: dict[Cause, tuple[str, int | None, int | None]] = {
    Cause.SYNTAX_ERROR: ('  File "train.py", line 5\n    def f(:\n          ^\nSyntaxError: invalid syntax', 1, None),
    Cause.IMPORT_ERROR: (_FRAME + "ModuleNotFoundError: No module named 'x'", 1, None),
    Cause.EXCEPTION: (_FRAME + "ValueError: bad label", 1, None),
    Cause.HOST_MEMORY: ("", None, 9),
    Cause.GPU_MEMORY: (_FRAME + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", 1, None),
    Cause.CUDA_ERROR: (_FRAME + "torch.AcceleratorError: CUDA error: device-side assert triggered", 1, None),
    Cause.GPU_FAULT: (_FRAME + "RuntimeError: CUDA error: uncorrectable ECC error encountered", 1, None),
    Cause.LOST_COLLECTIVE: (_FRAME + "torch.distributed.DistBackendError: NCCL error in: x.cpp:1", 1, None),
    Cause.HANG: ("", None, 9),
    Cause.NON_FINITE: (_FRAME + "ValueError: loss is nan", 1, None),
    Cause.DISK_FULL: (_FRAME + "OSError: [Errno 28] No space left on device", 1, None),
    Cause.QUOTA: (_FRAME + "OSError: [Errno 122] Disk quota exceeded", 1, None),
    Cause.READ_ONLY: (_FRAME + "OSError: [Errno 30] Read-only file system", 1, None),
    Cause.SIGNAL: ("", None, 9),
    Cause.EXIT_CODE: ("", 1, None),
}
"""Of each class of failure: what was printed, the exit code, the signal."""


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
    "hung": held(trouble=Trouble(kind="hang", why="no step for 10 s (limit 9 s)")),
    "not finite": held(trouble=Trouble(kind="non_finite", why="the loss is not finite since step 12")),
    "held, can park": held().model_copy(update={"can_park": True}),
    "held, asked to park": held().model_copy(update={"can_park": True, "is_asked_to_park": True}),
    "held, stands still": held().model_copy(
        update={"can_park": True, "is_asked_to_park": True, "stand": Stand(step=12, saved=True)}
    ),
    "held, told to stop": held(stop_reason="preempted"),
    "done": ended(0),
    "failed": ended(1),
    "again": ended(75),
    "permanent": ended(78),
    "done as asked": ended(0, stop_reason="stop"),
    "again as asked": ended(75, stop_reason="preempted"),
    "killed": killed(9),
    "failed for storage": failed(Cause.DISK_FULL),
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
