"""The memory tier, seen from the keeper: whose arena it holds, and what its writer is doing.

The job makes the arena and hands it over; from then on it lives as long as the job, the keeper or its writer does. The
job asks for each commit, one at a time, and does not touch that slot before the answer. So the arena needs no locks:
what is read is either what the job said it leaves alone, or the last word of a job that is dead.

A writer that is killed (the arena counts as its memory, so the kernel may well choose it) has answered no to what it
was asked, and another takes its place, which knows what was committed already; the last snapshot is then its to commit.
Not for ever: an arena at which so many have died is left.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Mapping

from perdured.contract.deadline import find_last_moment

from .log import log
from .loop import READ, Loop, read_clock
from .records import take, take_optional
from .talk import Committed, MemoryPlace
from .writer import fork_writer
from .writer_link import WriterLink

_REMEMBERED = 8
REPLACEMENTS = 3
"""Writers of one arena that may follow one that died."""


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
        self._writers: list[WriterLink] = []
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
        with contextlib.ExitStack() as refused:
            refused.callback(os.close, arena)
            if any(writer.client not in (None, client) for writer in self._writers):
                return False
            self.finish()
            place = {"root": take(message, "root", str), "keep": take(message, "keep", int)}
            self._begin(WriterLink(arena, client, place))
            refused.pop_all()
        return True

    def _begin(self, writer: WriterLink) -> None:
        writer.begin(*fork_writer(writer.arena, self._locks, writer.committed))
        self._writers.append(writer)
        self._loop.watch(writer.control.fileno(), READ, lambda _: self._hear(writer))

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

    def _hear(self, writer: WriterLink) -> None:
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
            if not self._replace(writer):
                os.close(writer.arena)
                self._on_end()

    def _replace(self, writer: WriterLink) -> bool:
        """False if there is nothing more to write, or no use in trying."""
        if writer.is_done:
            return False
        log(f"the writer of the memory tier died; {REPLACEMENTS - writer.replaced} more are tried")
        if writer.replaced == REPLACEMENTS:
            self._leave(writer)
            return False
        try:
            self._begin(writer.make_next())
        except OSError as error:
            log(f"no writer can be started: {error}")
            self._leave(writer)
            return False
        return True

    def _leave(self, writer: WriterLink) -> None:
        if writer.is_finishing:
            self._on_answer(Committed(None, why="its writer died"), writer.client)
