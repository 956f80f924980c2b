"""The memory tier, seen from the keeper: whose arena it holds, and what its writer is doing.

The job makes the arena and hands it over; from then on it lives as long as the job or the keeper's writer does. The job
asks for each commit, one at a time, and does not touch that slot before the answer. So the arena needs no locks: what
is read is either what the job said it leaves alone, or the last word of a job that is dead.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping

from perdured.contract.deadline import find_last_moment

from . import talk
from .log import log
from .loop import READ, Loop, read_clock
from .priority import Priority, set_priority
from .records import take, take_optional
from .talk import Committed, MemoryPlace
from .writer import fork_writer

_REMEMBERED = 8


class Memory:
    """`on_answer` gets each answer, and the client that asked, if any; `on_end` is called when a writer has ended."""

    def __init__(
        self,
        loop: Loop,
        locks: frozenset[int],
        on_answer: Callable[[Committed, int | None], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._locks = locks
        self._on_answer = on_answer
        self._on_end = on_end
        self._writers: list[_WriterLink] = []
        """More than one only while an earlier one still writes what it was left with."""
        self._durations: deque[float] = deque(maxlen=_REMEMBERED)
        """Seconds that the last commits have taken."""

    @property
    def pids(self) -> frozenset[int]:
        """The only children of the keeper that are none of the job's."""
        return frozenset(writer.pid for writer in self._writers)

    @property
    def place(self) -> MemoryPlace | None:
        """Where the arena of the job that lives can be opened by others."""
        writer = next((writer for writer in self._writers if not writer.is_finishing), None)
        return MemoryPlace(writer.pid, writer.arena) if writer is not None else None

    @property
    def is_writing(self) -> bool:
        return any(writer.is_writing for writer in self._writers)

    def take_over(self, arena: int, message: Mapping[str, object], client: int) -> bool:
        """The job's arena is ours as well. False where another living process of the job has one already."""
        try:
            if any(writer.client not in (None, client) for writer in self._writers):
                return False
            self.finish()
            place = {"root": take(message, "root", str), "keep": take(message, "keep", int)}
            pid, control = fork_writer(arena, self._locks)
        finally:
            os.close(arena)
        writer = _WriterLink(MemoryPlace(pid, arena), control, client, place)
        self._writers.append(writer)
        self._loop.watch(control.fileno(), READ, lambda _: self._hear(writer))
        return True

    def commit(self, message: Mapping[str, object], client: int) -> None:
        """Asks for the commit of a snapshot. There is an answer in any case."""
        generation, protect = take(message, "generation", int), take_optional(message, "protect", str)
        deadline = take_optional(message, "deadline", float)
        is_urgent = bool(message.get("urgent")) or self._is_near(deadline)
        writer = next((w for w in self._writers if w.client == client and not w.is_finishing), None)
        if writer is None:
            self._on_answer(Committed(generation, why="there is nobody to write it"), client)
            return
        if is_urgent:
            writer.hurry()
        writer.order(generation, protect=protect, urgent=is_urgent, deadline=deadline)

    def _is_near(self, deadline: float | None) -> bool:
        """Whether a commit with that deadline must hurry from the beginning. If not, it will when the time has come."""
        if deadline is None:
            return False
        moment = find_last_moment(deadline, max(self._durations, default=None))
        if moment > read_clock():
            self._loop.call_at("hurry", moment, self.hurry)
        return moment <= read_clock()

    def release(self, client: int) -> None:
        """The client will not use its arena any more, and makes another perhaps."""
        for writer in self._writers:
            if writer.client == client:
                writer.finish()

    def lose(self, client: int) -> None:
        """The client has gone; what it wrote last is kept for the end of the attempt."""
        for writer in self._writers:
            if writer.client == client:
                writer.client = None

    def hurry(self) -> None:
        """A deadline is set: what is being written is wanted soon."""
        for writer in self._writers:
            writer.hurry()

    def finish(self) -> bool:
        """The job will write no more: its last complete snapshot is committed. True while a writer is still at it."""
        for writer in self._writers:
            writer.finish()
        return bool(self._writers)

    def _hear(self, writer: _WriterLink) -> None:
        for answer in writer.read_answers():
            if answer.seconds is not None:
                self._durations.append(answer.seconds)
            self._on_answer(answer, writer.client)
        if writer.is_closed:
            self._loop.forget(writer.control.fileno())
            writer.control.close()
            with contextlib.suppress(ChildProcessError):  # it has closed its socket by ending
                os.waitpid(writer.pid, 0)
            self._writers.remove(writer)
            self._on_end()


class _WriterLink:
    def __init__(self, at: MemoryPlace, control: socket.socket, client: int, place: Mapping[str, object]) -> None:
        self.pid, self.arena = at
        self.control = control
        self.client: int | None = client
        self.is_closed = self.is_finishing = False
        self._place = place
        self._unanswered: list[int | None] = []
        self._unread = b""

    @property
    def is_writing(self) -> bool:
        """It has yet to answer."""
        return bool(self._unanswered)

    def order(self, generation: int | None, **fields: object) -> None:
        """An order is far shorter than the socket's buffer, and there are two at most."""
        self._unanswered.append(generation)
        try:
            self.control.sendall(talk.format_message({**self._place, "generation": generation, **fields}))
        except OSError as error:
            log(f"the writer takes no orders: {error}")

    def hurry(self) -> None:
        """Also with what it is writing now; an order says by itself how urgent it is."""
        set_priority(self.pid, Priority.NORMAL)

    def finish(self) -> None:
        if not self.is_finishing:
            self.is_finishing = True
            self.hurry()
            self.order(None, last=True, urgent=True)
            with contextlib.suppress(OSError):
                self.control.shutdown(socket.SHUT_WR)

    def read_answers(self) -> list[Committed]:
        """One that has died has answered no to all that it was asked."""
        try:
            data = self.control.recv(64 * 1024)
        except OSError:
            data = b""
        self.is_closed = not data
        *lines, self._unread = (self._unread + data).split(b"\n")
        answers = [Committed(*(fields.get(name) for name in Committed._fields)) for fields in map(json.loads, lines)]
        del self._unanswered[: len(answers)]
        if self.is_closed:
            answers += [Committed(generation, why="its writer died") for generation in self._unanswered]
        return answers
