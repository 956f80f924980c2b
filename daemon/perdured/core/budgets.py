"""How often a job may fail before it is given up, by the class of its ends.

Each budget counts ends in a row without progress; a new checkpoint, or a restart by hand, makes all of them new. Most
failures share the one that the spec sets. A budget of its own has what says more, or less, than one failure among
others: memory that ran out twice will run out again, and a lost rank should not use up what an exception needs. None is
larger than what the spec allows.
"""

from __future__ import annotations

from typing import NamedTuple

from perdured.core.ends.cause import Cause

from .record import JobRecord

SPECS = "failures"


class Budget(NamedTuple):
    name: str
    most: int | None
    """Given up at this many; None: as many as the spec says."""


_SPECS = Budget(SPECS, None)

BUDGETS: dict[Cause, Budget | None] = {
    Cause.DONE: None,
    Cause.RUN_AGAIN: None,
    Cause.PERMANENT: None,
    Cause.STOPPED: None,
    Cause.PREEMPTED: None,
    Cause.REBOOTED: None,
    Cause.NOT_STARTED: None,
    # Held until the place of the checkpoints takes a file again, and is free, however long that is.
    Cause.DISK_FULL: None,
    Cause.QUOTA: None,
    Cause.READ_ONLY: None,
    Cause.IN_USE: None,
    Cause.REMOTE: None,
    Cause.NO_UNIT: None,
    Cause.SYNTAX_ERROR: _SPECS,
    Cause.IMPORT_ERROR: _SPECS,
    Cause.EXCEPTION: _SPECS,
    Cause.SIGNAL: _SPECS,
    Cause.EXIT_CODE: _SPECS,
    Cause.REFUSED: _SPECS,
    Cause.UNKNOWN: _SPECS,
    Cause.HOST_MEMORY: Budget("host_memory", 2),
    Cause.GPU_MEMORY: Budget("gpu_memory", 2),
    Cause.CUDA_ERROR: Budget("cuda_error", 3),
    Cause.GPU_FAULT: Budget("gpu_fault", 3),
    Cause.LOST_COLLECTIVE: Budget("lost_collective", 5),
    Cause.HANG: Budget("hang", 5),
    # Back to the last healthy checkpoint, twice.
    Cause.NON_FINITE: Budget("non_finite", 3),
}
"""None: such an end costs nothing."""


def charge(record: JobRecord, cause: Cause) -> JobRecord:
    """The record with one more failure on the budget of this class."""
    budget = BUDGETS[cause]
    if budget is None:
        return record
    if budget.name == SPECS:
        return record.but(failures=record.failures + 1)
    return record.but(spent=record.spent | {budget.name: record.spent.get(budget.name, 0) + 1})


def count_failures(record: JobRecord, cause: Cause) -> int:
    """What of the budget of this class is used up."""
    budget = BUDGETS[cause]
    if budget is None:
        return 0
    return record.failures if budget.name == SPECS else record.spent.get(budget.name, 0)


def limit_of(cause: Cause, failures: int) -> int:
    """The failures at which a job is given up; `failures` is what the spec says."""
    budget = BUDGETS[cause]
    return failures if budget is None or budget.most is None else min(budget.most, failures)
