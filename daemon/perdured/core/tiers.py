"""What is copied between the disk and the remote tier, what is deleted on the remote, and where a start begins.

Only the newest goes up: a remote that cannot keep pace skips steps instead of falling behind for ever. Unhealthy ones
stay on the disk, since nobody resumes from them. Series are looked at one by one, as everywhere.

Deleting on the remote follows the rule of the disk: at least FLOOR proven ones of a series stay, the newest is proven
before an older one goes. *Proven*: every byte was checked where it lies, and nothing there has changed since.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .policy import backoff_delay
from .spec import Backoff

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
