"""Why an attempt ended, as one word: what the policy of restarting goes by, and what `show --json` calls `cause`."""

from __future__ import annotations

from enum import Enum


class Cause(str, Enum):
    """The classes of ends; the text beside each is what a person reads of it."""

    DONE = "done"
    RUN_AGAIN = "run_again"
    PERMANENT = "permanent"
    STOPPED = "stopped"
    """It was asked to end: by a stop, a restart, a removal."""
    PREEMPTED = "preempted"
    REBOOTED = "rebooted"
    SYNTAX_ERROR = "syntax_error"
    IMPORT_ERROR = "import_error"
    EXCEPTION = "exception"
    """A Python exception that none of the classes below is about."""
    HOST_MEMORY = "host_memory"
    GPU_MEMORY = "gpu_memory"
    CUDA_ERROR = "cuda_error"
    GPU_FAULT = "gpu_fault"
    """The kernel's log names a fault of the GPU (an Xid), or the driver does."""
    LOST_COLLECTIVE = "lost_collective"
    """Another rank, or the way to it, was lost in the middle of a collective operation."""
    HANG = "hang"
    NON_FINITE = "non_finite"
    DISK_FULL = "disk_full"
    QUOTA = "quota"
    READ_ONLY = "read_only"
    REMOTE = "remote"
    """The remote tier cannot be asked where to resume from, and the disk has nothing."""
    SIGNAL = "signal"
    EXIT_CODE = "exit_code"
    """A failure by its exit status, of which nothing more is known."""
    NOT_STARTED = "not_started"
    REFUSED = "refused"
    """The ground was not fit for a start: no workdir, no valid checkpoint."""
    IN_USE = "in_use"
    """Another attempt, or a training that nobody supervises, writes to its checkpoint directory."""
    NO_UNIT = "no_unit"
    """Its keeper is to be a unit of systemd, and no service manager would start it."""
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


STORAGE = frozenset({Cause.DISK_FULL, Cause.QUOTA, Cause.READ_ONLY})
"""What another attempt cannot mend: the job is held until the disk takes a file again."""
HELD = STORAGE | {Cause.IN_USE, Cause.REMOTE, Cause.NO_UNIT}
"""Why a start is held and probed, instead of tried again and again."""
