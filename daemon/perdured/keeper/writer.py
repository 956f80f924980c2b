"""The keeper's writer: a child that commits snapshots from the arena to the disk, so that the keeper never waits.

It is forked when the job hands over its arena, and only then loads what knows of checkpoints; a keeper whose job has no
arena stays as small as it was. It holds the attempt's locks with the keeper: while it writes, nobody starts the next
attempt. It ends when its orders do, after the one that it is working on; so also when the keeper is killed.

Orders and answers are JSON lines on a socket:

    {"generation": 7, "root": "/…", "keep": 3, "protect": "/…"|null, "urgent": false, "deadline": null}
                                               commit this snapshot, or nothing if it is late
    {"generation": null, "last": true, …}      commit the newest complete one, if it was not committed; the job is dead
    ← {"generation": 7, "step": 1200, "path": "/…", "seconds": 1.3}     committed; `path` null: there was nothing to do
    ← {"generation": 7, "why": "…"}                     not committed

Old checkpoints are dropped after a commit that was not urgent: that reads the newest again, and can wait.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from perdured.contract.deadline import RESERVE, TooLate

from . import talk
from .log import log, log_failure
from .loop import read_clock
from .priority import Priority, set_priority

if TYPE_CHECKING:
    from perdured.contract.checkpoint.arena import Arena, Snapshot

Order = dict[str, object]


def fork_writer(arena: int, locks: frozenset[int], committed: int = 0) -> tuple[int, socket.socket]:
    """The writer's pid, and the socket to it. `committed`: the newest generation that an earlier writer committed."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _become_writer(theirs, arena, locks, committed)
    theirs.close()
    return pid, ours


def _become_writer(control: socket.socket, arena: int, locks: frozenset[int], committed: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a stop of the whole unit must not stop what it waits for
        _close_all_but({0, 1, 2, control.fileno(), arena, *locks})
        set_priority(os.getpid(), Priority.IDLE)
        _serve(control, arena, committed)
    except BaseException:  # noqa: BLE001  a forked child must never go back into the keeper's code
        log_failure("writing snapshots")
    finally:
        os._exit(0)


def _close_all_but(kept: set[int]) -> None:
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor not in kept:
            with contextlib.suppress(OSError):  # the one that listed the directory
                os.close(descriptor)


def _serve(control: socket.socket, descriptor: int, committed: int) -> None:
    from perdured.contract.checkpoint.arena import Arena

    writer = _Writer(Arena(descriptor, is_writer=False), committed)
    with control.makefile("rb") as orders:
        for line in orders:
            order: Order = json.loads(line)
            answer = writer.obey(order)
            control.sendall(talk.format_message(answer))
            writer.tidy_up(order)


def _check_deadline(deadline: object) -> None:
    if isinstance(deadline, float) and read_clock() > deadline - RESERVE:
        raise TooLate


class _Writer:
    def __init__(self, arena: Arena, committed: int = 0) -> None:
        self._arena = arena
        self._committed = committed
        """The newest generation that was committed."""

    def obey(self, order: Order) -> Order:
        set_priority(os.getpid(), Priority.NORMAL if order.get("urgent") else Priority.IDLE)
        found = self._find(order)
        if found is None:
            return {"generation": order.get("generation"), "step": None, "path": None}
        slot, snapshot = found
        began = read_clock()
        try:
            path = self._commit(slot, snapshot, order)
        except (OSError, ValueError) as error:
            log(f"snapshot {snapshot.generation} (step {snapshot.step}) was not committed: {error}")
            return {"generation": snapshot.generation, "why": getattr(error, "strerror", None) or str(error)}
        self._committed = snapshot.generation
        seconds = read_clock() - began
        return {"generation": snapshot.generation, "step": snapshot.step, "path": str(path), "seconds": seconds}

    def _find(self, order: Order) -> tuple[int, Snapshot] | None:
        if not order.get("last"):
            generation = order["generation"]
            assert isinstance(generation, int)
            return self._arena.find(generation)
        found = self._arena.find_newest()
        return found if found is not None and found[1].generation > self._committed else None

    def _commit(self, slot: int, snapshot: Snapshot, order: Order) -> Path:
        from perdured.contract.checkpoint import commit_checkpoint

        root, images = Path(str(order["root"])), self._arena.images(slot, snapshot)
        check = partial(_check_deadline, order.get("deadline"))
        return commit_checkpoint(root, snapshot.step, images, snapshot.facts, check).path

    def tidy_up(self, order: Order) -> None:
        from perdured.contract.checkpoint import retain

        if not order.get("urgent"):
            protect = order.get("protect")
            keep = order["keep"]
            assert isinstance(keep, int)
            retain(Path(str(order["root"])), keep, protect=() if protect is None else (Path(str(protect)),))
