"""What is copied between the disk and the remote tier, what is deleted on the remote, and where a start begins.

Only the newest goes up: a remote that cannot keep pace skips steps instead of falling behind for ever. Unhealthy ones
stay on the disk, since nobody resumes from them. Series are looked at one by one, as everywhere.

Deleting on the remote follows the rule of the disk: at least FLOOR proven ones of a series stay, the newest is proven
before an older one goes. *Proven*: every byte was checked where it lies, and nothing there has changed since.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from perdured.core.ends.cause import Cause

from .observation import Refused
from .policy import backoff_delay
from .spec import Backoff
from .value import Value

FLOOR = 2
UPLOAD_BACKOFF = Backoff(first=1.0, longest=300.0)


class Held(NamedTuple):
    """A committed checkpoint of one tier. Ordered by (step, seq)."""

    step: int
    seq: int
    series: str
    healthy: bool = True
    is_proven: bool = False

    @property
    def place(self) -> tuple[int, int]:
        return self.step, self.seq


class RemoteTrouble(Value):
    """What stands between the disk and the remote, in three lines for a person."""

    what: str
    why: str
    todo: str
    nature: Literal["passing", "lasting", "foreign", "unleased"] = "passing"
    """Whether it may pass by itself. "foreign": the remote is another job's, or goes on elsewhere. "unleased": another
    host has the lease of the job."""

    @property
    def as_text(self) -> str:
        return f"{self.what} {self.why} {self.todo}"


def decide_upload(local: Iterable[Held], remote: Iterable[Held]) -> Held | None:
    """The checkpoint to copy next: the newest that is newer than all of its series on the remote."""
    return next(iter(list_behind(local, remote)), None)


def list_behind(local: Iterable[Held], remote: Iterable[Held]) -> list[Held]:
    """The healthy ones that are newer than what the remote has of their series; newest first."""
    newest = _newest_places(remote)
    return _newest_first(each for each in local if each.healthy and each.place > newest.get(each.series, (-1, -1)))


def decide_proofs(remote: Iterable[Held], keep: int) -> list[Held]:
    """Those whose bytes must be checked before anything may be deleted; none if there is nothing to delete."""
    wanted: list[Held] = []
    floor = max(FLOOR, keep)
    for series in _by_series(remote):
        if len(series) > floor:
            wanted += [each for each in series[:floor] if not each.is_proven]
    return wanted


def decide_removals(remote: Iterable[Held], keep: int) -> list[Held]:
    """What may go, the oldest first."""
    removable: list[Held] = []
    floor = max(FLOOR, keep)
    for series in _by_series(remote):
        if not series[0].is_proven:
            continue  # whatever happened to the newest, this is no time to delete
        good = 0
        for each in series:
            if good >= floor:
                removable.append(each)
            good += each.is_proven
    return _newest_first(removable)[::-1]


def decide_downloads(local: Iterable[Held], remote: Iterable[Held]) -> list[list[Held]]:
    """For each series of which the remote has a newer healthy checkpoint than the disk: which to take, newest first,
    the next one only if the one before turns out to be broken."""
    newest = _newest_places(each for each in local if each.healthy)
    series = [[each for each in held if each.place > newest.get(each.series, (-1, -1))] for held in _by_series(remote)]
    return [held for held in series if held]


def is_remote_asked(*, has_looked: bool, has_chosen: bool, has_rejected: bool) -> bool:
    """Whether a start looks at the remote: once after each rest, since the job may have run elsewhere meanwhile; and
    whenever the disk's newest was broken or nothing is there. In between the disk cannot be behind."""
    return not has_looked or has_rejected or not has_chosen


class Look(NamedTuple):
    """What came of looking at the remote before a start."""

    holds_any: bool = False
    """It holds a committed checkpoint, sound or not."""
    trouble: RemoteTrouble | None = None


def judge_look(look: Look, *, has_chosen: bool) -> Refused | None:
    """Whether the attempt may start now; None if it may.

    | the disk has one to resume from | the remote | then |
    |---|---|---|
    | yes | was looked at | start |
    | yes | cannot be asked | start, and say so: training goes on |
    | no | holds none | start afresh |
    | no | holds some, and none is sound | refuse: never afresh by itself |
    | no | cannot be asked | unknown is not absent: hold, or refuse what does not pass by itself |
    | either | is not this job's | refuse: two of them would write there |
    | either | this host lacks the lease | hold: the job goes on elsewhere, or comes back |
    """
    trouble = look.trouble
    if trouble is None:
        return None if has_chosen or not look.holds_any else _refuse_lost()
    if trouble.nature == "foreign":
        return Refused(why=trouble.as_text, permanent=True)
    if trouble.nature == "unleased":
        return Refused(why=trouble.as_text, permanent=False, cause=Cause.REMOTE)
    if has_chosen:
        return None
    return Refused(why=trouble.as_text, permanent=trouble.nature == "lasting", cause=Cause.REMOTE)


def _refuse_lost() -> Refused:
    why = "no valid checkpoint is left on this machine or on the remote, and there were some"
    todo = "mend one and resume, or submit it again with `fresh_start = true` (--fresh-start) to begin at step 0"
    return Refused(why=f"{why}; {todo}", permanent=True)


def upload_delay(failures: int, job: str) -> float:
    """Seconds before the next try after `failures` in a row: doubling, with the jitter of this job."""
    return backoff_delay(UPLOAD_BACKOFF, failures, f"{job}/remote")


def _by_series(held: Iterable[Held]) -> list[list[Held]]:
    """The healthy ones; of each series newest first."""
    series: dict[str, list[Held]] = {}
    for each in _newest_first(each for each in held if each.healthy):
        series.setdefault(each.series, []).append(each)
    return list(series.values())


def _newest_places(held: Iterable[Held]) -> dict[str, tuple[int, int]]:
    return {each.series: each.place for each in reversed(_newest_first(held))}


def _newest_first(held: Iterable[Held]) -> list[Held]:
    return sorted(held, key=lambda each: each.place, reverse=True)
