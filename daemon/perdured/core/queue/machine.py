"""What there is to be had."""

from __future__ import annotations

import math
from typing import NamedTuple

from .amounts import NOTHING, UNLIMITED, Amounts


class Share(NamedTuple):
    """What one user has of a machine that several share (`shares.py`)."""

    amounts: Amounts = NOTHING
    gpus: frozenset[str] = frozenset()
    is_all_for_now: bool = False
    """Whoever grants has said that there is no more: what is needed besides has to come from the own jobs."""

    def plus(self, other: Share) -> Share:
        return Share(self.amounts.plus(other.amounts), self.gpus | other.gpus)


class Machine(NamedTuple):
    has: Amounts = UNLIMITED
    paused: frozenset[str] = frozenset()
    """Groups of which nothing runs for now."""
    gpus: tuple[str, ...] | None = None
    """The UUIDs of those that are given to jobs, in their order; None where that is nobody's business here."""
    quarantined: frozenset[str] = frozenset()
    """Those that have failed a job. Nobody is given one."""
    share: Share | None = None
    """Ours of it; None where it is all ours."""

    @property
    def usable(self) -> tuple[str, ...]:
        return tuple(gpu for gpu in self.gpus or () if gpu not in self.quarantined)

    @property
    def capacity(self) -> Amounts:
        return self.has if self.gpus is None else self.has._replace(gpus=len(self.usable))

    @property
    def lent(self) -> Amounts:
        """What is not ours of what is limited."""
        if self.share is None:
            return NOTHING
        rest = [
            0 if has == math.inf else max(has - ours, 0)
            for has, ours in zip(self.capacity, self.share.amounts, strict=True)
        ]
        gpus = rest[-1] if self.gpus is None else len(self.usable) - len(self.ours)
        return Amounts(*rest)._replace(gpus=gpus)

    @property
    def ours(self) -> tuple[str, ...]:
        """The GPUs that may be given to our jobs."""
        return self.usable if self.share is None else tuple(gpu for gpu in self.usable if gpu in self.share.gpus)


ENDLESS = Machine()
"""Nobody has to wait for room: a `perdure run`, which is alone."""
