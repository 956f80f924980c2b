"""Hosts that contend for one job's lease: each with a clock of its own, and held up at any point of its work."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from perdured.core.lease import (
    Aim,
    Entry,
    Host,
    Lease,
    Move,
    Round,
    Seen,
    Stand,
    decide_move,
    is_valid,
    note_begun,
    note_round,
)

LASTS = 60.0

Fate = Literal["done", "lost", "late"]
"""Of a write: it is done; it is done, and its answer is lost; its answer is lost, and it is done much later."""


@dataclass
class Chain:
    """The bucket: create-if-absent, and listings that show what was written before."""

    entries: dict[int, Lease] = field(default_factory=dict)
    in_flight: list[Move] = field(default_factory=list)

    def write(self, move: Move) -> bool:
        token, lease = move.entry
        if move.is_claim and token in self.entries:
            return False
        self.entries[token] = lease
        return True

    def look(self) -> Seen:
        last = [Entry(*each) for each in sorted(self.entries.items())[-2:]]
        return Seen(last[-1] if last else None, last[0] if len(last) == 2 else None)


class Clock(NamedTuple):
    offset: float
    rate: float

    def read(self, true: float) -> float:
        return self.offset + self.rate * true


@dataclass
class Contender:
    name: str
    chain: Chain
    clock: Clock
    stand: Stand = field(default_factory=Stand)
    aim: Aim = "hold"
    boot: int = 1
    nonces: Iterator[int] = field(default_factory=itertools.count)
    work: Iterator[None] | None = None
    """An exchange under way."""
    now: float = 0.0
    """The true time, which it never reads but through its clock."""
    fate: Fate = "done"

    @property
    def me(self) -> Lease:
        host = Host(id=self.name, boot=str(self.boot), name=self.name)
        return Lease(host=host, state="held", lasts=LASTS, nonce=f"{self.name}{next(self.nonces)}")

    def holds(self, now: float) -> bool:
        return self.aim == "hold" and is_valid(self.stand, self.clock.read(now))

    def go_on(self, now: float, fate: Fate = "done") -> None:
        """To the next point at which it may be held up."""
        self.now, self.fate = now, fate
        self.work = self.work or self._exchange()
        if next(self.work, self) is self:
            self.work = None

    def begin_anew(self) -> None:
        """Its daemon was killed, and started again."""
        self.work, self.stand = None, Stand()

    def _exchange(self) -> Iterator[None]:
        me, began = self.me, self.clock.read(self.now)
        move = decide_move(self.stand, self.aim, me, began)
        self.stand = note_begun(self.stand, move)
        yield
        has_claimed = False
        if move is not None:
            if self.fate == "late":
                self.chain.in_flight.append(move)
                return
            created = self.chain.write(move)
            if self.fate == "lost":
                return
            has_claimed = created and move.is_claim
        yield
        seen = self.chain.look()
        yield
        done = Round(began, self.clock.read(self.now), seen, has_claimed)
        self.stand = note_round(self.stand, move, done, me.host)
