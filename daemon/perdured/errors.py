"""Every failure that a person reads, in three lines: what happened, why, and what to do about it.

One exception per thing a caller may want to tell apart. `exit_status` is what the command line ends with; the numbers
are those of `perdured.contract.exits`. Standard library only, so that a verb that fails does so in a blink.
"""

from __future__ import annotations

from .contract import exits


class PerdureError(Exception):
    """Perdure itself failed."""

    exit_status = exits.PERDURE_FAILED

    def __init__(self, what: str, why: str, todo: str) -> None:
        super().__init__(what, why, todo)
        self.what = what
        self.why = why
        self.todo = todo

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.why, self.todo) if line)


class BadUsage(PerdureError):
    """A command line, request or spec that cannot be meant."""

    exit_status = exits.BAD_USAGE


class AmbiguousJob(BadUsage):
    """A prefix or name that fits several jobs."""


class WrongState(BadUsage):
    """A wish that the job's state does not allow, such as removing one that runs."""


class NoSuchJob(PerdureError):
    exit_status = exits.NO_SUCH_JOB


class NoDaemon(PerdureError):
    """Nobody answers on the daemon's socket."""

    exit_status = exits.NO_DAEMON


class TimedOut(PerdureError):
    exit_status = exits.TIMED_OUT


class NoSpace(PerdureError):
    """The disk is full, or the quota is used up."""


class AlreadyServed(PerdureError):
    """Another daemon answers on the socket."""


class DiskSilent(PerdureError):
    """A disk did not answer in time: it may yet."""
