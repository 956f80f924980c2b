"""What an attempt's directory and the kernel say about it: the table of `core/observation.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from perdured.contract import environment
from perdured.core.observation import (
    Absent,
    AttemptSeen,
    Ended,
    Exit,
    Held,
    Lost,
    Orphaned,
    Unverifiable,
)
from perdured.keeper import records
from perdured.keeper.identity import Identity, open_process, read_boot_id
from perdured.keeper.lock import is_locked
from perdured.keeper.records import ExitRecord, RunRecord


def observe_attempt(directory: Path) -> AttemptSeen:
    """Takes no lock and touches no process. What cannot be read is Unverifiable, never dead."""
    try:
        # The lock first: a keeper writes nothing after it has let go, so what is read below a free lock is final.
        is_held = is_locked(directory / records.LOCK)
        run = records.load_run(directory)
        exit = records.load_exit(directory)
        if is_held:
            return _see_held(directory, run)
        if exit is not None:
            return _see_ended(run, exit)
        return _see_without_keeper(run) if run is not None else Absent()
    except (OSError, ValueError) as error:
        return Unverifiable(why=f"cannot be understood: {error}")


def make_exit(record: ExitRecord) -> Exit:
    """Raises ValueError for a reason that this version does not know."""
    return Exit.model_validate({name: getattr(record, name) for name in Exit.model_fields})


def is_alive(identity: Identity) -> bool:
    pidfd = open_process(identity)
    if pidfd is not None:
        os.close(pidfd)
    return pidfd is not None


def _see_held(directory: Path, run: RunRecord | None) -> Held:
    stop = records.load_stop(directory)
    return Held(
        pid=_pid(run), started_at=run.started_at if run else None, stop_reason=stop.reason if stop is not None else None
    )


def _see_ended(run: RunRecord | None, exit: ExitRecord) -> Ended:
    # The usage is recorded together with the end of the last process: without it, the keeper died before that.
    is_clean = exit.usage is not None or exit.reason == records.NOT_STARTED
    is_clean = is_clean or run is None or run.leader.boot_id != read_boot_id()
    started_at = run.started_at if run else None
    return Ended(pid=_pid(run), started_at=started_at, exit=make_exit(exit), is_clean=is_clean)


def _see_without_keeper(run: RunRecord) -> Orphaned | Lost:
    pid, started_at = run.leader.pid, run.started_at
    if run.leader.boot_id != read_boot_id():
        return Lost(pid=pid, started_at=started_at, rebooted=True)
    return Orphaned(pid=pid, started_at=started_at) if is_alive(run.leader) else Lost(pid=pid, started_at=started_at)


def _pid(run: RunRecord | None) -> int | None:
    return run.leader.pid if run is not None else None


class Resumed(NamedTuple):
    """The checkpoint that an attempt was told to resume from; neither on a fresh start."""

    step: int | None = None
    path: str | None = None


def observe_resume(attempt: Path) -> Resumed:
    try:
        env = records.load_want(attempt).env
    except (OSError, ValueError):
        return Resumed()
    step = env.get(environment.RESUME_STEP)
    return Resumed(int(step) if step is not None and step.isdecimal() else None, env.get(environment.RESUME_FROM))
