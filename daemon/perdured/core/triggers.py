"""What a decision reacts to, read off the state: never an edge that could be missed, always a level.

A fact about the attempt comes before a wish: an attempt that has ended has ended, whatever was asked of it.
"""

from __future__ import annotations

from enum import Enum

from perdured.contract import exits

from .observation import AttemptSeen, Exit
from .record import JobRecord


class Trigger(Enum):
    """The columns of the table; the value is what `docs/states.md` says of it."""

    DUE = "nothing stands in the way of a start"
    HELD = "a keeper holds the attempt"
    ABSENT = "the attempt never ran"
    DONE = "the job exited with 0"
    AGAIN = "the job exited with 75: saved, run me again"
    PERMANENT = "the job exited with 78: do not retry"
    FAILURE = "the job failed, or a signal killed it"
    NOT_STARTED = "the command could not be started"
    REFUSED = "the ground was not fit for a start"
    LOST = "keeper and job are gone; nobody saw the exit"
    REBOOTED = "the machine was started anew since"
    ORPHANED = "the keeper is gone, the job lives"
    UNKNOWN = "it could not be observed"
    ASKED_STOP = "a stop was asked for"
    ASKED_PARK = "the machine is being taken away"
    ASKED_RESTART = "a restart was asked for"
    ASKED_REMOVE = "its removal was asked for"


_WISHES = {
    "stop": Trigger.ASKED_STOP,
    "park": Trigger.ASKED_PARK,
    "restart": Trigger.ASKED_RESTART,
    "remove": Trigger.ASKED_REMOVE,
}
_STATUSES = {exits.DONE: Trigger.DONE, exits.RUN_AGAIN: Trigger.AGAIN, exits.PERMANENT: Trigger.PERMANENT}


def find_trigger(record: JobRecord, seen: AttemptSeen) -> Trigger:
    """The one trigger that counts now."""
    wished = _WISHES.get(record.wish)
    if record.phase.kind not in ("starting", "running", "saving"):
        return wished or Trigger.DUE
    fact = _find_fact(seen)
    return wished if wished and fact in (Trigger.HELD, Trigger.ORPHANED) else fact


def _find_fact(seen: AttemptSeen) -> Trigger:
    match seen.kind:
        case "held":
            return Trigger.HELD
        case "ended":
            return _classify_exit(seen.exit)
        case "lost":
            return Trigger.REBOOTED if seen.rebooted else Trigger.LOST
        case "orphaned":
            return Trigger.ORPHANED
        case "refused":
            return Trigger.REFUSED
        case "unverifiable":
            return Trigger.UNKNOWN
        case "absent":
            return Trigger.ABSENT


def _classify_exit(exit: Exit) -> Trigger:
    if exit.reason == "not_started":
        return Trigger.NOT_STARTED
    if exit.reason == "exited" and exit.exit_code is not None:
        return _STATUSES.get(exit.exit_code, Trigger.FAILURE)
    return Trigger.FAILURE
