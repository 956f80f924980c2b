"""What a decision reacts to, read off the state: never an edge that could be missed, always a level.

A fact about the attempt comes before a wish: an attempt that has ended has ended, whatever was asked of it. And it has
ended only when nothing of it lives any more.
"""

from __future__ import annotations

from enum import Enum

from perdured.core.ends.cause import STORAGE, Cause
from perdured.core.ends.classify import classify_end
from perdured.core.queue.turn import GO, Turn

from .observation import AttemptSeen
from .record import UNDER_WAY, JobRecord


class Trigger(Enum):
    """The columns of the table; the value is what `docs/states.md` says of it."""

    DUE = "nothing stands in the way of a start"
    NOT_YET = "it is not its turn"
    ASIDE = "another job is to have its place, or its group is paused"
    HELD = "a keeper holds the attempt"
    HUNG = "it has made no step for too long"
    NOT_FINITE = "its loss is not finite any more"
    ABSENT = "the attempt never ran"
    DONE = "the job exited with 0"
    AGAIN = "the job exited with 75: saved, run me again"
    AS_ASKED = "the job was stopped or preempted, and ended with whatever status but 78"
    PERMANENT = "the job exited with 78: do not retry"
    FAILURE = "the job failed, or a signal killed it"
    STORAGE = "the disk was full, over quota or read-only"
    NOT_STARTED = "the command could not be started"
    REFUSED = "the ground was not fit for a start"
    LOST = "keeper and job are gone; nobody saw the exit"
    UNCLEAN = "it ended without its keeper, and what it left behind may live"
    REBOOTED = "the machine was started anew since"
    ORPHANED = "the keeper is gone, the job lives"
    UNKNOWN = "it could not be observed"
    FORETOLD = "a notice stands, and it can train on"
    NOTICED = "a notice asks it to save and to stand still"
    STANDS = "it stands still, for a notice"
    LIFTED = "the notice stands no more"
    FENCED = "a start would be due, but the machine is about to be taken away, or another host has the lease"
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


_OF_AN_EXIT = {
    Cause.DONE: Trigger.DONE,
    Cause.RUN_AGAIN: Trigger.AGAIN,
    Cause.PERMANENT: Trigger.PERMANENT,
    Cause.STOPPED: Trigger.AS_ASKED,
    Cause.PREEMPTED: Trigger.AS_ASKED,
    Cause.NOT_STARTED: Trigger.NOT_STARTED,
    **dict.fromkeys(STORAGE, Trigger.STORAGE),
}
"""Every other cause is a failure."""


_ALIVE = (Trigger.HELD, Trigger.HUNG, Trigger.NOT_FINITE, Trigger.ORPHANED)


def find_trigger(record: JobRecord, seen: AttemptSeen, turn: Turn = GO, noticed: Trigger | None = None) -> Trigger:
    """The one trigger that counts now; `noticed` is what the notices make of it (`perdured.core.parking`)."""
    wished = _WISHES.get(record.wish)
    if record.phase.kind not in UNDER_WAY:
        return noticed or wished or (Trigger.DUE if turn.kind == "go" else Trigger.NOT_YET)
    fact = _find_fact(seen)
    if wished and fact in _ALIVE:
        return wished
    if fact is not Trigger.HELD:
        return fact
    return noticed or (Trigger.ASIDE if turn.kind == "aside" else fact)


def _find_fact(seen: AttemptSeen) -> Trigger:
    match seen.kind:
        case "held" if seen.trouble is not None:
            return Trigger.HUNG if seen.trouble.kind == "hang" else Trigger.NOT_FINITE
        case "held":
            return Trigger.HELD
        case "ended":
            return _OF_AN_EXIT.get(classify_end(seen).cause, Trigger.FAILURE) if seen.is_clean else Trigger.UNCLEAN
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
