"""What a decision reacts to, read off the state: never an edge that could be missed, always a level.

A fact about the attempt comes before a wish: an attempt that has ended has ended, whatever was asked of it. And it has
ended only when nothing of it lives any more.
"""

from __future__ import annotations

from enum import Enum

from perdured.contract import exits

from .observation import AttemptSeen, Exit
from .record import UNDER_WAY, JobRecord


class Trigger(Enum):
    """The columns of the table; the value is what `docs/states.md` says of it."""

    DUE = "nothing stands in the way of a start"
    HELD = "a keeper holds the attempt"
    ABSENT = "the attempt never ran"
    DONE = "the job exited with 0"
    AGAIN = "the job exited with 75: saved, run me again"
    AS_ASKED = "the job ended after it was asked to, with whatever status but 78"
    PERMANENT = "the job exited with 78: do not retry"
    FAILURE = "the job failed, or a signal killed it"
    NOT_STARTED = "the command could not be started"
    REFUSED = "the ground was not fit for a start"
    LOST = "keeper and job are gone; nobody saw the exit"
    UNCLEAN = "it ended without its keeper, and what it left behind may live"
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


def find_trigger(record: JobRecord, seen: AttemptSeen) -> Trigger:
    """The one trigger that counts now."""
    wished = _WISHES.get(record.wish)
    if record.phase.kind not in UNDER_WAY:
        return wished or Trigger.DUE
    fact = _find_fact(seen)
    return wished if wished and fact in (Trigger.HELD, Trigger.ORPHANED) else fact


def _find_fact(seen: AttemptSeen) -> Trigger:
    match seen.kind:
        case "held":
            return Trigger.HELD
        case "ended":
            return _classify_exit(seen.exit) if seen.is_clean else Trigger.UNCLEAN
        case "lost" if seen.rebooted:
            return Trigger.REBOOTED
        case "lost":
            return Trigger.LOST if seen.is_clean else Trigger.UNCLEAN
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
    status = exit.exit_code if exit.reason == "exited" else None
    if status == exits.PERMANENT:
        return Trigger.PERMANENT
    if exit.stop_reason is not None:
        return Trigger.AS_ASKED
    if status == exits.DONE:
        return Trigger.DONE
    return Trigger.AGAIN if status == exits.RUN_AGAIN else Trigger.FAILURE
