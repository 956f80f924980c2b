"""What there is to be had."""

from __future__ import annotations

from typing import NamedTuple

from .amounts import UNLIMITED, Amounts


class Machine(NamedTuple):
    has: Amounts = UNLIMITED
    paused: frozenset[str] = frozenset()
    """Groups of which nothing runs for now."""
    gpus: tuple[str, ...] | None = None
    """The UUIDs of those that are given to jobs, in their order; None where that is nobody's business here."""
    quarantined: frozenset[str] = frozenset()
    """Those that have failed a job. Nobody is given one."""

    @property
    def usable(self) -> tuple[str, ...]:
        return tuple(gpu for gpu in self.gpus or () if gpu not in self.quarantined)

    @property
    def capacity(self) -> Amounts:
        return self.has if self.gpus is None else self.has._replace(gpus=len(self.usable))


ENDLESS = Machine()
"""Nobody has to wait for room: a `perdure run`, which is alone."""
