"""Root's side of sharing the machine out among the users: hears everybody's word, root's own among them, and grants."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol

from perdured.clock import read_uptime
from perdured.core.access import ROOT
from perdured.core.queue.amounts import NOTHING, Amounts
from perdured.core.queue.machine import Machine, Share
from perdured.core.queue.shares import Party, Stand, decide_grants, hear_stand

from . import words

HEARING = 30.0
"""Seconds for which nothing is granted while not everybody has said what the own jobs have."""
_MOST = 1e18
_MOST_GPUS = 1024

Tell = Callable[[str, Mapping[str, object]], None]

_log = logging.getLogger("perdured")


class Sharing(Protocol):
    """A daemon's own part (`supervise/sharing.py`)."""

    @property
    def machine(self) -> Machine: ...

    def begin(self, say: Callable[[Stand, int], None]) -> None: ...

    def take(self, grant: Share) -> None: ...

    def hear_that_it_is_all(self) -> None: ...


class _Side(NamedTuple):
    """How a user's daemon is told."""

    tell: Tell
    granted: int = 0
    """So many, by this life of it."""


class MachineShares:
    def __init__(self, own: Sharing, expected: Collection[int]) -> None:
        """`expected`: whose word, besides root's, is waited for before anything is granted."""
        self._own = own
        self._expected = {ROOT, *expected}
        self._parties: dict[int, Party] = {}
        self._sides: dict[int, _Side] = {}
        self._answered: set[int] = set()
        """Who waits, and has been told that there is no more for now."""
        self._hearing = asyncio.get_running_loop().call_later(HEARING, self._stop_hearing)

    def begin(self) -> None:
        self._sides[ROOT] = _Side(self._tell_own)
        self._own.begin(lambda stand, seen: self._hear(ROOT, stand, seen))

    def close(self) -> None:
        self._hearing.cancel()

    def join(self, uid: int, tell: Tell) -> None:
        """A deputy has come up. What it was granted in an earlier life it never saw, or says itself."""
        self._sides[uid] = _Side(tell)
        if uid in self._parties:
            self._parties[uid] = self._parties[uid]._replace(coming=Share())

    def leave(self, uid: int) -> None:
        """Its deputy has gone. Its jobs run on, with what they had."""
        self._sides.pop(uid, None)
        if uid in self._parties:
            party = self._parties[uid]
            self._parties[uid] = Party(Stand(party.has))
            self._decide()

    def hear(self, uid: int, message: Mapping[str, Any]) -> None:
        """Raises ValueError, KeyError or TypeError for what makes no sense."""
        self._hear(uid, parse_stand(message), int(message["seen"]))

    def _hear(self, uid: int, stand: Stand, seen: int) -> None:
        side, party = self._sides.get(uid), self._parties.get(uid, Party())
        if side is None:
            return
        self._parties[uid] = hear_stand(party, stand, read_uptime(), has_seen_all=seen >= side.granted)
        self._expected.discard(uid)
        self._answered.discard(uid)
        self._decide()

    def _decide(self) -> None:
        if self._expected:
            return
        self._grant()
        for uid, party in self._parties.items():
            if party.waits and uid in self._sides and uid not in self._answered:
                self._answered.add(uid)
                self._sides[uid].tell(words.ALL, {})

    def _grant(self) -> None:
        for uid, grant in decide_grants(self._own.machine, self._parties).items():
            side = self._sides.get(uid)
            if side is not None:
                self._parties[uid] = self._parties[uid]._replace(coming=grant)
                self._sides[uid] = side._replace(granted=side.granted + 1)
                side.tell(words.GRANTED, describe_share(grant))

    def _stop_hearing(self) -> None:
        if self._expected:
            _log.warning("%d users were not heard: the machine is shared out without them", len(self._expected))
        self._expected.clear()
        self._decide()

    def _tell_own(self, word: str, more: Mapping[str, object]) -> None:
        """Not from within its own word."""
        act = self._own.hear_that_it_is_all if word == words.ALL else lambda: self._own.take(parse_share(more))
        asyncio.get_running_loop().call_soon(act)


def describe_share(share: Share) -> dict[str, object]:
    return {"amounts": describe_amounts(share.amounts), "gpus": sorted(share.gpus)}


def describe_stand(stand: Stand, seen: int) -> dict[str, object]:
    return {"keeps": describe_share(stand.keeps), "wants": describe_amounts(stand.wants), "seen": seen}


def describe_amounts(amounts: Amounts) -> list[float]:
    return list(amounts)


def parse_stand(message: Mapping[str, Any]) -> Stand:
    return Stand(parse_share(message["keeps"]), parse_amounts(message["wants"]))


def parse_share(told: Mapping[str, Any]) -> Share:
    gpus = told["gpus"]
    if not isinstance(gpus, list) or len(gpus) > _MOST_GPUS or not all(isinstance(gpu, str) for gpu in gpus):
        raise ValueError("no list of GPUs")
    return Share(parse_amounts(told["amounts"]), frozenset(gpus))


def parse_amounts(told: list[Any]) -> Amounts:
    """Not less than nothing, and finite."""
    values = [float(value) for value in told]
    if len(values) != len(NOTHING) or not all(math.isfinite(value) and 0 <= value <= _MOST for value in values):
        raise ValueError("no amounts")
    return Amounts(*values)
