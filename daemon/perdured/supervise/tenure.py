"""How this host stands to the lease of one job, for whoever starts it, copies it or shows it.

A job has a tenure where the daemon has joined a bucket and the job has a remote; the fleet keeps it up to date. What it
says holds for the moment in which it is asked: a lease runs out by the clock.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from perdured.clock import read_boottime
from perdured.core.lease import (
    Aim,
    Host,
    Lease,
    Move,
    Round,
    Stand,
    decide_move,
    is_valid,
    note_begun,
    note_round,
    say_holder,
    say_obstacle,
)
from perdured.keeper.records import Leash
from perdured.remote.orders import Term
from perdured.views import LeaseView

GRACE_SHARE = 1 / 3
"""Of the time that a lease lasts, so much at most is left for saving when it cannot be renewed."""


class Joined(NamedTuple):
    """What is the same for all leases of this host."""

    host: Host
    url: str
    lasts: float
    """Seconds."""


class Tenure:
    def __init__(self, joined: Joined, job: str) -> None:
        self.job = job
        self.stand = Stand()
        self.trouble: str | None = None
        """Why nothing is heard of the bucket."""
        self._joined = joined

    def begin(self, aim: Aim, why: str = "") -> Move | None:
        """What is to be written now."""
        host, _, lasts = self._joined
        me = Lease(host=host, state="held", why=why, lasts=lasts, nonce=secrets.token_hex(8))
        move = decide_move(self.stand, aim, me, read_boottime())
        self.stand = note_begun(self.stand, move)
        return move

    def end(self, move: Move | None, done: Round) -> None:
        self.stand = note_round(self.stand, move, done, self._joined.host)

    @property
    def is_valid(self) -> bool:
        return is_valid(self.stand, read_boottime())

    def find_obstacle(self) -> str | None:
        """Why the job may not run here now, in words."""
        why = say_obstacle(self.stand, self._joined.host, read_boottime())
        return f"{why}: {self.trouble}" if why is not None and self.trouble is not None else why

    @property
    def is_mine(self) -> bool:
        """This host's is the newest lease, and it has not let go of it."""
        newest = self.stand.seen.newest
        return newest is not None and newest.lease.state == "held" and newest.lease.host.is_same(self._joined.host)

    def make_term(self) -> Term:
        """Under which checkpoints are copied. What was given back is this host's until another takes it."""
        newest = self.stand.seen.newest
        entry = self.stand.hold.entry if self.stand.hold is not None else newest
        if entry is None or not entry.lease.host.is_same(self._joined.host):
            return Term(url=self._joined.url, job=self.job, token=0, first=0)
        return Term(url=self._joined.url, job=self.job, token=entry.token, first=entry.lease.first)

    def make_leash(self, grace: float) -> Leash | None:
        """Until when an attempt may run; None where it may not."""
        hold = self.stand.hold
        if hold is None or not self.is_valid:
            return None
        return Leash(hold.until, min(grace, self._joined.lasts * GRACE_SHARE))

    def describe(self) -> LeaseView:
        newest = self.stand.seen.newest
        return LeaseView(
            url=self._joined.url,
            token=newest.token if newest is not None else None,
            host=newest.lease.host.name if newest is not None else None,
            is_here=self.is_valid,
            why=f"this host holds lease {newest.token}" if newest is not None and self.is_valid else self._say_why(),
        )

    def _say_why(self) -> str:
        newest = self.stand.seen.newest
        if newest is not None and newest.lease.state in ("free", "over"):
            return say_holder(newest)
        return self.find_obstacle() or ""
