"""What is recorded of an attempt's end. Pure."""

from __future__ import annotations

import os
import signal
from typing import NamedTuple

from . import records
from .records import ExitRecord, StopRecord
from .talk import Told
from .tally import describe_tally


class Death(NamedTuple):
    """Of the leader, as the kernel tells of it (waitid(2)), and when."""

    code: int
    status: int
    at: float
    """Seconds since the epoch."""
    at_boot: float
    """CLOCK_BOOTTIME."""
    at_uptime: float
    """CLOCK_MONOTONIC."""
    oom_kills: int | None


def describe_end(death: Death, told: Told, stop: StopRecord | None, *, has_timed_out: bool) -> ExitRecord:
    is_exit, status = death.code == os.CLD_EXITED, death.status
    reason = records.EXITED if is_exit else records.SIGNALED
    if has_timed_out and not is_exit and status == signal.SIGKILL:
        reason = records.TIMED_OUT
    return ExitRecord(
        reason=reason,
        at=death.at,
        at_boot=death.at_boot,
        exit_code=status if is_exit else None,
        signal=None if is_exit else status,
        raw_status=status << 8 if is_exit else status | (0x80 if death.code == os.CLD_DUMPED else 0),
        stop_reason=stop.reason if stop else None,
        oom_kills=death.oom_kills,
        step=told.step,
        loss=told.loss,
        total=told.total,
        checkpoint_step=told.checkpoint_step,
        checkpoint_path=told.checkpoint_path,
        pace=told.pace,
        tally=describe_tally(told.tally, death.at_uptime, death.at_boot - death.at_uptime),
    )
