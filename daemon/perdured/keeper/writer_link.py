"""One writer of the memory tier, from the keeper's side: its orders, its answers, and what is left when it dies."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping

from . import talk
from .priority import Priority, set_priority
from .talk import Committed


class WriterLink:
    """`arena`: the memory that it writes from, held until nobody will write from it any more."""

    pid: int
    control: socket.socket

    def __init__(
        self, arena: int, client: int | None, place: Mapping[str, object], committed: int = 0, replaced: int = 0
    ) -> None:
        self.arena = arena
        self.client = client
        self.committed = committed
        """The newest generation that is known to be on the disk."""
        self.replaced = replaced
        """How many died at this arena before it."""
        self.is_closed = self.is_finishing = False
        self._place = place
        self._unanswered: list[int | None] = []
        self._unread = b""

    def begin(self, pid: int, control: socket.socket) -> None:
        """Also with the last order, where the one before it died of that."""
        self.pid, self.control = pid, control
        if self.is_finishing:
            self._order_last()

    def make_next(self) -> WriterLink:
        """Who goes on where this one died."""
        made = WriterLink(self.arena, self.client, self._place, self.committed, self.replaced + 1)
        made.is_finishing = self.is_finishing
        return made

    @property
    def is_writing(self) -> bool:
        """It has yet to answer."""
        return bool(self._unanswered)

    @property
    def is_done(self) -> bool:
        """It was told to finish, and did."""
        return self.is_finishing and not self._unanswered

    def order(self, generation: int | None, **fields: object) -> None:
        """An order is far shorter than the socket's buffer, and there are two at most."""
        self._unanswered.append(generation)
        with contextlib.suppress(OSError):  # one that is dead has answered no to it
            self.control.sendall(talk.format_message({**self._place, "generation": generation, **fields}))

    def hurry(self) -> None:
        """Also with what it is writing now; an order says by itself how urgent it is."""
        set_priority(self.pid, Priority.NORMAL)

    def finish(self) -> None:
        if not self.is_finishing:
            self.is_finishing = True
            self._order_last()

    def _order_last(self) -> None:
        self.hurry()
        self.order(None, last=True, urgent=True)
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_WR)

    def read_answers(self) -> list[Committed]:
        """One that has died has answered no to all that it was asked, but for the last order, which stands."""
        try:
            data = self.control.recv(64 * 1024)
        except OSError:
            data = b""
        self.is_closed = not data
        *lines, self._unread = (self._unread + data).split(b"\n")
        answers = [Committed(*(fields.get(name) for name in Committed._fields)) for fields in map(json.loads, lines)]
        self._note(answers)
        if self.is_closed:
            asked = (each for each in self._unanswered if each is not None)
            answers += [Committed(generation, why="its writer died") for generation in asked]
        return answers

    def _note(self, answers: list[Committed]) -> None:
        del self._unanswered[: len(answers)]
        done = [answer.generation for answer in answers if answer.path is not None and answer.generation is not None]
        self.committed = max([self.committed, *done])
