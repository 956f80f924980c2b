"""This daemon's part of a machine that the daemons of several users share (`core/queue/shares.py` has the rules).

The own plan is made with what was granted and no more. After each plan the user's word is made from it, and what it
does not keep is given back in the same moment in which it is said, so that it cannot be used after that.
"""

from __future__ import annotations

from collections.abc import Callable

from perdured.core.queue.amounts import NOTHING
from perdured.core.queue.machine import Machine, Share
from perdured.core.queue.shares import NO_SHARE, Stand, make_stand

from .queue import Queue

Say = Callable[[Stand, int], None]
"""With the number of grants that were taken so far."""


class Sharing:
    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._say: Say | None = None
        self._told: Stand | None = None
        self._taken = 0

    def begin(self, say: Say) -> None:
        """From now on nothing is ours but what is granted, and what runs."""
        self._say = say
        self._queue.on_plan = self._look
        self._set(NO_SHARE)

    def take(self, grant: Share) -> None:
        self._taken += 1
        self._told = None
        self._set(self._share.plus(grant))

    def hear_that_it_is_all(self) -> None:
        """What was asked for is not there now."""
        if self._told is not None and self._told.wants != NOTHING:
            self._set(self._share._replace(is_all_for_now=True))

    @property
    def machine(self) -> Machine:
        """As we know it; what there is does not depend on our share."""
        return self._queue.machine

    @property
    def _share(self) -> Share:
        return self._queue.machine.share or NO_SHARE

    def _look(self) -> None:
        stand = make_stand(self._queue.list_demands(), self._queue.find_turns())
        if self._say is None or stand == self._told:
            return
        is_all = self._share.is_all_for_now and self._told is not None and self._told.wants == stand.wants
        self._told = stand
        self._set(stand.keeps._replace(is_all_for_now=is_all))
        self._say(stand, self._taken)

    def _set(self, share: Share) -> None:
        if share != self._queue.machine.share:
            self._queue.change_machine(self._queue.machine._replace(share=share))
