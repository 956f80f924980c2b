"""What all notices that stand say together. Pure.

The hardest deadline wins: the earliest of those that end something, however sure it is. One that was guessed stays a
cap under a later exact one, since each may be true by itself; where both speak of the same thing, the source replaces
its own notice. What may come to nothing moves no deadline, neither earlier nor later. What the disk must reckon with
is the worst that any of them says, since the next deadline takes the disk that the first one leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from perdured.core.units import human_duration

from .notice import Disk, Follows, Notice, Sureness


class Outlook(NamedTuple):
    """Nothing stands: `Outlook()`."""

    notices: tuple[Notice, ...] = ()
    """Those that stand, the earliest deadline first."""
    deciding: Notice | None = None
    """The one whose deadline is the hardest; None: nothing is going to be ended."""
    disk: Disk = "kept"

    @property
    def deadline(self) -> float | None:
        return self.deciding.deadline if self.deciding is not None else None

    @property
    def sureness(self) -> Sureness | None:
        return self.deciding.sureness if self.deciding is not None else None

    @property
    def follows(self) -> Follows | None:
        return self.deciding.follows if self.deciding is not None else None

    @property
    def is_withdrawable(self) -> bool:
        """Whether all that end something may yet be taken back."""
        return all(notice.withdrawable for notice in self.notices if notice.is_ending)

    @property
    def advice(self) -> tuple[Notice, ...]:
        """Those that may come to nothing."""
        return tuple(notice for notice in self.notices if notice.follows == "perhaps")

    @property
    def pauses(self) -> tuple[Notice, ...]:
        """Those after which the machine goes on as if nothing had been."""
        return tuple(notice for notice in self.notices if notice.follows == "pause")


def merge_notices(standing: Iterable[Notice]) -> Outlook:
    ordered = tuple(sorted(standing, key=_by_deadline))
    ending = [notice for notice in ordered if notice.is_ending]
    return Outlook(ordered, ending[0] if ending else None, _find_worst_disk(ending))


def say_outlook(outlook: Outlook, now: float) -> str:
    """ "AWS takes this spot instance back: 1 min 58 s left"."""
    if outlook.deciding is None:
        return outlook.notices[0].why if outlook.notices else "no notice"
    assert outlook.deadline is not None
    left = outlook.deadline - now
    when = f"{human_duration(left)} left" if left > 0 else "now"
    doubt = {"exact": "", "not_before": " at least", "ceiling": " at most", "guess": ", as a guess"}
    return f"{outlook.deciding.why}: {when}{doubt[outlook.deciding.sureness] if left > 0 else ''}"


def _by_deadline(notice: Notice) -> tuple[float, str]:
    return (notice.deadline if notice.deadline is not None else float("inf"), notice.id)


def _find_worst_disk(ending: list[Notice]) -> Disk:
    fates = {notice.disk for notice in ending}
    return "lost" if "lost" in fates else "unknown" if "unknown" in fates else "kept"
