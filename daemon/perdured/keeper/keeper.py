"""Holds a running attempt: hears the job and the daemon, keeps the deadline, and records the end."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import NamedTuple

from perdured.contract import messages

from . import cgroup, records, talk, tree
from .clients import Clients
from .ending import Death, describe_end
from .guard import Guard
from .leash import Leashed
from .log import log
from .loop import READ, URGENT, Loop, read_clock
from .memory import Memory
from .records import ExitRecord, RunRecord, StopRecord, Usage, Want
from .tally import Tally

PREEMPTED = "preempted"
"""The reason of a stop that reached the keeper as SIGTERM: the machine, or its unit, is going down."""
FINISH_WINDOW = 0.5
"""Seconds in which what the leader left behind may end by itself: Python's resource tracker, for one, frees shared
memory once its parent has gone. After that it is killed."""
_FIRST_RETRY, _LONGEST_RETRY = 1.0, 30.0


class Attempt(NamedTuple):
    directory: Path
    locks: frozenset[int]
    guard: Guard | None
    want: Want
    run: RunRecord
    pidfd: int
    """The leader's."""
    oom_kills: int | None
    """The counter when the leader was started."""


class Keeper:
    def __init__(self, attempt: Attempt, listener: socket.socket, wakeup: int) -> None:
        self.nonce = attempt.want.nonce
        self._attempt = attempt
        now = time.monotonic()
        self._told = talk.Told(tally=Tally(since=now, slept=read_clock() - now))
        self._stop: StopRecord | None = None
        self._has_timed_out = False
        self._exit: ExitRecord | None = None
        self._is_exit_saved = False
        self._is_drained = False
        self._killed: set[int] = set()
        self._retry_delay = _FIRST_RETRY
        self._wakeup = wakeup
        self._loop = Loop()
        self._clients = Clients(self._loop, listener, self)
        self._not_saved: str | None = None
        self._memory = Memory(self._loop, attempt.locks, self._hear_writer, self._on_writer_end)
        self._leashed = Leashed(self._loop, attempt.want.leash, attempt.want.stop_signal, self._accept_stop)

    def hold(self) -> None:
        """Returns when nothing of the attempt is left and its end is durable."""
        self._loop.watch(self._attempt.pidfd, READ, self._on_leader_exit)
        self._loop.watch(self._wakeup, READ, self._on_signal)
        if self._attempt.guard is not None:
            self._attempt.guard.join(self._loop)
        self._loop.run()

    def conclude(self, exit: ExitRecord) -> None:
        """Records the end of an attempt whose command never ran. Returns when that is durable."""
        self._exit = exit
        self._is_drained = True
        self._loop.watch(self._wakeup, READ, self._on_signal)
        self._save_exit()
        self._loop.run()

    def close(self) -> None:
        self._clients.close()
        self._loop.close()

    # Hearing ------------------------------------------------------------------------------------------------------

    def hear_job(self, message: dict[str, object], client: int) -> None:
        match message["type"]:
            case messages.MEMORY:
                self._clients.tell(client, self._take_memory(message, client))
            case messages.COMMIT:
                self._memory.commit(message, client)
                self._clients.push_status(at_once=True)
            case messages.RELEASE:
                self._memory.release(client)
            case _:
                self._hear_news(message, client)

    def _take_memory(self, message: dict[str, object], client: int) -> dict[str, object]:
        """The answer to a process of the job that hands over its arena."""
        try:
            is_held = self._memory.take_over(self._clients.take_descriptor(client), message, client)
        except OSError as error:
            return {"type": messages.MEMORY_REFUSED, "why": str(error)}
        why = "another process of the job has one already"
        self._clients.push_status(at_once=True)
        return {"type": messages.MEMORY_HELD} if is_held else {"type": messages.MEMORY_REFUSED, "why": why}

    def _hear_news(self, message: dict[str, object], client: int) -> None:
        before, self._told = self._told, talk.hear_job(self._told, message, client, time.monotonic())
        self._clients.push_status(at_once=talk.is_more_than_progress(before, self._told))

    def lose_job(self, client: int) -> None:
        before, self._told = self._told, talk.forget_client(self._told, client, time.monotonic())
        self._memory.lose(client)
        if talk.is_more_than_progress(before, self._told):
            self._clients.push_status(at_once=True)

    def _hear_writer(self, answer: talk.Committed, client: int | None) -> None:
        if answer.step is not None and answer.path is not None:
            self._told = self._told._replace(checkpoint_step=answer.step, checkpoint_path=answer.path)
        if self._exit is not None:
            self._not_saved = answer.why
        if client is not None:
            self._told = talk.forget_saving(self._told, client, time.monotonic())
            self._clients.tell(client, talk.make_answer(answer))
        self._clients.push_status(at_once=True)

    def _on_writer_end(self) -> None:
        if self._exit is not None:
            self._check_drained()

    def hear_daemon(self, message: dict[str, object]) -> None:
        if message["type"] in messages.TO_THE_JOB:
            self._clients.pass_on(message)
        elif message["type"] == messages.HANG and self._told.pulse is not None:
            self._clients.tell(self._told.pulse.client, {"type": messages.HANG})
        elif message["type"] == messages.STOP:
            self._accept_stop(talk.parse_stop(message, self._attempt.want.stop_signal))
        elif message["type"] == messages.LEASE and self._exit is None:
            self._leashed.hear(message)
        elif message["type"] == messages.TELL:
            # A turn later, and after what else has come by then: a keeper that was held up must not tell of a silence
            # that is only its own.
            self._loop.call_at("tell", read_clock(), self._tell)

    def _tell(self) -> None:
        self._clients.catch_up()
        self._clients.push_status(at_once=True)

    def describe(self) -> bytes:
        told = self._told._replace(is_writing=self._memory.is_writing)
        pid = self._clients.find_pid(told.stacks[0]) if told.stacks is not None else None
        now = time.monotonic()
        slept, run = read_clock() - now, self._attempt.run
        seen = talk.Situation(self.nonce, run, told, self._stop, self._exit, now, slept, pid)
        seen = seen._replace(is_asked_to_park=self._clients.is_asked_to_park, memory=self._memory.place)
        return talk.format_status(seen)

    def _on_signal(self, _: int) -> None:
        numbers = os.read(self._wakeup, 4096)
        if signal.SIGTERM in numbers:
            self._accept_stop(talk.StopAsked(PREEMPTED, self._attempt.want.stop_signal, self._attempt.want.grace))
        if self._exit is None:
            tree.reap_all(keep=self._attempt.run.leader.pid)
        else:
            self._check_drained()

    # Stopping -----------------------------------------------------------------------------------------------------

    def _accept_stop(self, asked: talk.StopAsked) -> None:
        if self._exit is not None:
            if not self._is_exit_saved:
                log(f"told to stop before the end could be saved: {self._exit}")
                self._loop.stop()
            return
        is_first = self._stop is None
        self._stop = talk.decide_stop(self._stop, asked, read_clock(), time.time())
        try:
            records.save_stop(self._attempt.directory, self._stop)
        except OSError as error:
            # A full disk is no reason to let the deadline of a preemption pass.
            log(f"cannot save {records.STOP}: {error}")
        self._loop.call_at("deadline", self._stop.deadline, self._on_deadline)
        self._memory.hurry()
        if is_first:
            self._signal_leader(self._stop.signal)
            self._signal_leader(signal.SIGCONT)
        self._clients.push_status(at_once=True)

    def _on_deadline(self) -> None:
        self._has_timed_out = True
        self._signal_leader(signal.SIGKILL)
        self._kill_rest()

    def _signal_leader(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._attempt.pidfd, number)
        except ProcessLookupError:
            return  # Its end is about to be noticed.
        except PermissionError as error:
            log(f"cannot signal the leader: {error}")

    # Ending -------------------------------------------------------------------------------------------------------

    def _on_leader_exit(self, _: int) -> None:
        dead = os.waitid(os.P_PIDFD, self._attempt.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if dead is None:
            return
        self._loop.forget(self._attempt.pidfd)
        self._loop.cancel("deadline")
        self._loop.cancel("leash")
        self._clients.catch_up()
        death = self._observe_death(dead.si_code, dead.si_status)
        self._exit = describe_end(death, self._told, self._stop, has_timed_out=self._has_timed_out)
        self._save_exit()
        self._exit = self._exit._replace(usage=_reap(self._attempt.run.leader.pid))
        self._clients.push_status(at_once=True)
        self._begin_drain()

    def _observe_death(self, code: int, status: int) -> Death:
        oom_kills, before = cgroup.read_oom_kills(), self._attempt.oom_kills
        kills = oom_kills - before if oom_kills is not None and before is not None else None
        return Death(code, status, time.time(), read_clock(), time.monotonic(), kills)

    def _save_exit(self) -> None:
        """Makes the end durable, again and again if need be: an end that is lost would have to be guessed."""
        assert self._exit is not None
        try:
            records.save_exit(self._attempt.directory, self._exit)
            self._is_exit_saved = True
        except OSError as error:
            log(f"cannot save {records.EXIT}: {error}; {self._exit}")
            # Nobody can ask for the end of an attempt whose directory was removed.
            self._is_exit_saved = self._is_exit_saved or not self._attempt.directory.exists()
        if not self._is_exit_saved:
            self._loop.call_at("save", read_clock() + self._retry_delay, self._save_exit)
            self._retry_delay = min(self._retry_delay * 2, _LONGEST_RETRY)
        elif self._is_drained:
            self._clients.push_status(at_once=True)
            self._loop.stop()

    # Draining -----------------------------------------------------------------------------------------------------

    def _begin_drain(self) -> None:
        if self._attempt.run.cgroup is not None:
            events = cgroup.open_events(self._attempt.run.cgroup)
            if events is not None:
                self._loop.watch(events, URGENT, lambda _: self._on_cgroup_change(events))
        if self._has_timed_out:
            self._kill_rest()
        else:
            self._loop.call_at("finish", read_clock() + FINISH_WINDOW, self._kill_rest)
            self._check_drained()

    def _on_cgroup_change(self, events: int) -> None:
        try:
            os.pread(events, 4096, 0)
        except OSError:  # the cgroup was removed
            self._loop.forget(events)
        self._check_drained()

    def _kill_rest(self) -> None:
        leaf, leader = self._attempt.run.cgroup, self._attempt.run.leader.pid
        if leaf is not None:
            self._killed |= cgroup.list_members(leaf)
            cgroup.kill_all(leaf)
        self._killed |= tree.kill_children(but=self._memory.pids)
        self._killed.discard(leader)
        if self._exit is not None:
            self._check_drained()

    def _check_drained(self) -> None:
        """Looks whether anything is left; called at every death, so that what surfaces by it is killed as well."""
        tree.reap_all()
        leaf = self._attempt.run.cgroup
        if tree.has_children(but=self._memory.pids) or (leaf is not None and cgroup.is_populated(leaf)):
            if not self._loop.is_waiting("finish"):
                self._killed |= tree.kill_children(but=self._memory.pids)
            return
        if self._memory.finish():
            return
        if not self._is_drained:
            assert self._exit is not None
            self._loop.cancel("finish")
            self._is_drained = True
            self._exit = self._exit._replace(
                leftover=len(self._killed),
                drained=True,
                step=self._told.step,
                checkpoint_step=self._told.checkpoint_step,
                checkpoint_path=self._told.checkpoint_path,
                not_saved=self._not_saved,
                pace=self._told.pace,
            )
            self._save_exit()


def _reap(pid: int) -> Usage:
    _, _, used = os.wait4(pid, 0)
    return Usage(used.ru_utime, used.ru_stime, used.ru_maxrss)
