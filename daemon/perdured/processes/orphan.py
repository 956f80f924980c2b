"""For an attempt whose keeper is gone: reach its leader, notice its end, and clear what is left.

The leader is reached by its proven identity only. What is left is found by its cgroup, if it had one, and by the nonce
that every process of the attempt has in its environment, with all their descendants.

Known limits, without a cgroup: a process that has cleared its environment and whose parent is gone is not found. With
another user id than ours, its environment cannot be read.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from pathlib import Path

from perdured.contract import environment
from perdured.errors import PerdureError
from perdured.keeper import cgroup, records
from perdured.keeper.identity import Identity, open_process, read_boot_id
from perdured.keeper.lock import is_locked, take_lock

from .belongings import list_processes
from .observe import is_alive
from .stuck import name_stuck
from .waiting import wait_readable

_ROUNDS = 100
_DEATH_CEILING = 10.0
"""Seconds for the killed to be gone; longer means that one is stuck in the kernel."""


class StillHeld(PerdureError):
    """The attempt has a living keeper; only that may end it."""


class NotClean(PerdureError):
    """Something of the attempt could not be killed, or not yet."""


def signal_orphan(directory: Path, number: int) -> bool:
    """Signals the leader, and wakes it if it was stopped. Raises OSError, ValueError.

    False when the leader is gone, or has a keeper after all, which is the one to ask.
    """
    if is_locked(directory / records.LOCK):
        return False
    pidfd = _open_leader(directory)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, number)
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


async def wait_orphan(directory: Path) -> None:
    """Returns when the leader is gone. How it ended stays unknown: only a parent may ask for that."""
    pidfd = _open_leader(directory)
    if pidfd is None:
        return
    try:
        await wait_readable(pidfd)
    finally:
        os.close(pidfd)


def is_over(directory: Path) -> bool:
    """True when a keeper has seen to it that nothing of the attempt is left, and has let go."""
    if is_locked(directory / records.LOCK):
        return False
    try:
        exit = records.load_exit(directory)
    except ValueError:
        return False
    return exit is not None and exit.drained


def perform_clean(directory: Path) -> int:
    """Kills all that is left of the attempt, waits until it is gone, and returns how many that were.

    Blocks, for milliseconds as a rule. Holds the keeper's lock meanwhile, so that no keeper can take the place. Raises
    StillHeld, NotClean or OSError.
    """
    if not directory.exists():
        return 0
    lock = take_lock(directory / records.LOCK)
    if lock is None:
        raise StillHeld(
            f"The attempt in {directory} cannot be cleared.", "Its keeper lives.", "Stop the attempt instead."
        )
    try:
        return _clean(directory)
    finally:
        os.close(lock)


def _clean(directory: Path) -> int:
    try:
        want, run = records.load_want(directory), records.load_run(directory)
    except FileNotFoundError:
        return 0  # without want.json nothing was ever started
    except ValueError as error:
        raise _fail(f"Its records cannot be understood: {error}.") from error
    leaves = set(filter(None, (want.cgroup, run.cgroup if run is not None else None)))
    killed = {pid for leaf in leaves for pid in _empty_cgroup(leaf)}
    mark = f"{environment.ATTEMPT_NONCE}={want.nonce}".encode()
    for _ in range(_ROUNDS):
        found = _find_rest(mark, run.leader if run is not None else None)
        if not found:
            return len(killed)
        killed |= _kill(found)
    raise _fail("New processes came as fast as old ones were killed.")


def _empty_cgroup(leaf: str) -> set[int]:
    events = cgroup.open_events(leaf)
    if events is None:
        return set()
    poll = select.poll()
    poll.register(events, select.POLLPRI)
    try:
        members = cgroup.list_members(leaf)
        cgroup.kill_all(leaf)
        while cgroup.is_populated(leaf):
            if not poll.poll(_DEATH_CEILING * 1000):
                raise _fail_stuck(cgroup.list_members(leaf))
            os.pread(events, 4096, 0)
    finally:
        os.close(events)
    cgroup.remove(leaf)
    return members


def _find_rest(mark: bytes, leader: Identity | None) -> dict[int, int]:
    """The living processes that carry the mark, the leader, and all their descendants: PID to start time."""
    seen = dict(list_processes())
    chosen = {pid for pid in seen if _carries(pid, mark)}
    if leader is not None and is_alive(leader):
        chosen.add(leader.pid)
    while young := {pid for pid, process in seen.items() if process.parent in chosen} - chosen:
        chosen |= young
    return {pid: seen[pid].start_time for pid in chosen & set(seen) - {os.getpid()}}


def _kill(found: dict[int, int]) -> set[int]:
    """SIGKILL to each, unless its PID has meanwhile come round to another; returns when they are gone."""
    boot_id = read_boot_id()
    opened = {pid: open_process(Identity(pid, start_time, boot_id)) for pid, start_time in found.items()}
    pidfds = {pid: pidfd for pid, pidfd in opened.items() if pidfd is not None}
    try:
        for pidfd in pidfds.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        _wait_for_deaths(set(pidfds.values()), pidfds)
    finally:
        for pidfd in pidfds.values():
            os.close(pidfd)
    return set(pidfds)


def _wait_for_deaths(pidfds: set[int], killed: Iterable[int]) -> None:
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    while pidfds:
        dead = [pidfd for pidfd, _ in poll.poll(_DEATH_CEILING * 1000)]
        if not dead:
            raise _fail_stuck(killed)
        for pidfd in dead:
            poll.unregister(pidfd)
            pidfds.discard(pidfd)


def _carries(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:  # gone, or another user's
        return False


def _open_leader(directory: Path) -> int | None:
    run = records.load_run(directory)
    return open_process(run.leader) if run is not None else None


def _fail_stuck(pids: Iterable[int]) -> NotClean:
    return _fail(f"A killed process does not end: {name_stuck(pids) or 'it is stuck in the kernel'}.")


def _fail(why: str) -> NotClean:
    return NotClean("What is left of an attempt could not be cleared.", why, "It is tried again before the next start.")
