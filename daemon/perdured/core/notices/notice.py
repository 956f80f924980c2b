"""A notice: a warning that the machine, or what runs on it, will be taken away.

Each source makes this one value of whatever it hears. A source tells what stands *now*, the whole of it, each time it
looks: `take_sight` finds out what is new, what has changed and what was withdrawn. One that could not look says
nothing, and nothing is withdrawn by that: blind is not gone.

Times are those of the daemon's clock: seconds since the epoch, steady, whatever is done to the wall clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

from perdured.core.value import Value

Kind = Literal[
    "reclaim",  # a spot machine is taken back
    "stop",  # the machine is stopped, and may be started again
    "retire",  # the machine is given up, or deleted
    "reboot",
    "freeze",  # the machine stands still for seconds
    "migrate",  # the same, as it moves to another host
    "maintenance",
    "walltime",  # the scheduler's time limit
    "preempt",  # another job of the scheduler takes its place
    "shutdown",  # the operating system goes down
    "terminate",  # told to end, by whom and why is not known
    "drain",  # somebody wants the machine empty
    "rebalance",  # it may be taken back soon, or not
]
KINDS: tuple[str, ...] = get_args(Kind)

SourceName = Literal["folder", "signal", "systemd", "slurm", "kubernetes", "aws", "gcp", "azure", "alibaba", "tencent"]

Sureness = Literal["exact", "not_before", "ceiling", "guess"]
"""Of a deadline: that is when; then or later; then at the latest, perhaps much sooner; nobody said, a usual value."""

Follows = Literal["kill", "power_off", "reboot", "pause", "perhaps"]
"""At the deadline: the processes are ended, the machine stays; it goes down; it goes down and comes back; it stands
still for a while and goes on; perhaps nothing."""
ENDING: tuple[Follows, ...] = ("kill", "power_off", "reboot")

Disk = Literal["kept", "lost", "unknown"]
"""What becomes of what was written on this machine's own disk."""

STALE = 60.0
"""Seconds. One whose deadline lay further back than that when it was first seen is left over from something else."""

CLOCKS_AGREE = 2.0
"""Seconds. A deadline that is told so little otherwise than before has not moved."""


class Notice(Value):
    id: str
    """The same for the same warning, however often it is seen: made of its content (`make_notice_id`)."""
    kind: Kind
    source: SourceName
    why: str
    """In words: "AWS takes this spot instance back"."""
    deadline: float | None
    """None only where nothing is ended (`follows` is "perhaps" or "pause")."""
    sureness: Sureness
    follows: Follows
    disk: Disk = "unknown"
    withdrawable: bool = True
    """Whether the source can take it back, so that it is worth while to wait where the job stands."""
    lasts: float | None = None
    """Seconds, of a pause."""
    received_at: float
    """When it was first seen."""
    withdrawn_at: float | None = None
    taken_back: tuple[float, ...] = ()
    """When it was withdrawn, the last times: it may have come again since."""
    boot_id: str
    raw: str = ""
    """What the source said, for a bug report; cut to `RAW_LIMIT`."""

    @property
    def is_ending(self) -> bool:
        return self.follows in ENDING


RAW_LIMIT = 2000
_REMEMBERED = 4
"""Times that a notice was withdrawn."""
_HISTORY = 50
"""Notices that are kept once they stand no more."""


def list_standing(notices: Iterable[Notice], boot_id: str, now: float) -> tuple[Notice, ...]:
    return tuple(notice for notice in notices if is_standing(notice, boot_id, now))


def find_next_change(notices: Iterable[Notice], boot_id: str, now: float) -> float | None:
    """When fewer stand by the passing of time alone."""
    ends = (find_expiry(notice) for notice in list_standing(notices, boot_id, now))
    return min((end for end in ends if end is not None), default=None)


class Sight(NamedTuple):
    """What one source saw standing when it looked."""

    source: SourceName
    notices: tuple[Notice, ...]
    at: float
    boot_id: str
    is_whole: bool = True
    """False while a part of the source has not been seen yet: then nothing is withdrawn."""


def make_notice_id(source: SourceName, *content: str) -> str:
    return f"{source}-{hashlib.sha256(chr(0).join(content).encode()).hexdigest()[:8]}"


def is_standing(notice: Notice, boot_id: str, now: float) -> bool:
    """It was not withdrawn, the machine has not been started anew since, and its time has not long passed."""
    return notice.withdrawn_at is None and notice.boot_id == boot_id and not is_false_alarm(notice, now)


def is_false_alarm(notice: Notice, now: float) -> bool:
    """Its deadline has passed and nothing came."""
    expiry = find_expiry(notice)
    return expiry is not None and now > expiry


def find_expiry(notice: Notice) -> float | None:
    """When it stands no more if nothing comes: a minute after its deadline, or as long as its window was, if that is
    more. For a pause also as long as it lasts."""
    if notice.deadline is None:
        return None
    return notice.deadline + max(STALE, notice.deadline - notice.received_at) + (notice.lasts or 0.0)


def take_sight(known: Sequence[Notice], sight: Sight) -> tuple[Notice, ...]:
    """All notices, once a source has told what stands now. What it tells no more is withdrawn."""
    told = {notice.id: notice for notice in sight.notices}
    taken = [_update(notice, told.pop(notice.id, None), sight) for notice in known]
    return _forget_oldest([*taken, *told.values()], sight.boot_id)


def _update(notice: Notice, told: Notice | None, sight: Sight) -> Notice:
    is_over = notice.withdrawn_at is not None or notice.boot_id != sight.boot_id
    if told is None:
        is_withdrawn = sight.is_whole and notice.source == sight.source and not is_over
        return _withdraw(notice, sight.at) if is_withdrawn else notice
    told = told.model_copy(update={"taken_back": notice.taken_back})
    if is_over:
        return told
    return told.model_copy(update={"received_at": notice.received_at, "deadline": _move_deadline(notice, told)})


def _withdraw(notice: Notice, at: float) -> Notice:
    return notice.model_copy(update={"withdrawn_at": at, "taken_back": (*notice.taken_back, at)[-_REMEMBERED:]})


def _move_deadline(notice: Notice, told: Notice) -> float | None:
    """A time that counts from the look would move with each look, and clocks are compared to a second or two."""
    if notice.deadline is None or told.deadline is None:
        return told.deadline
    if abs(told.deadline - notice.deadline) < CLOCKS_AGREE:
        return notice.deadline
    return min(notice.deadline, told.deadline) if told.sureness in ("ceiling", "guess") else told.deadline


def _forget_oldest(notices: Sequence[Notice], boot_id: str) -> tuple[Notice, ...]:
    over = [notice.id for notice in notices if notice.withdrawn_at is not None or notice.boot_id != boot_id]
    forgotten = set(over[: max(len(over) - _HISTORY, 0)])
    return tuple(notice for notice in notices if notice.id not in forgotten)
