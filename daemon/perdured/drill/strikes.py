"""What each kind of drill does to the job, what it does while the job recovers, and how it leaves things behind.

`begin` strikes, or raises WrongState and has done nothing. `react` is called after each look. `end` is called in any
case, also when the drill is broken off: it puts back what can be put back, and says the rest.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from perdured.client import Client
from perdured.contract.checkpoint.layout import parse_name
from perdured.contract.checkpoint.store import list_checkpoints
from perdured.core.drill import Kind, Moment, Phases
from perdured.errors import NoDaemon, WrongState

from .means import Broken, break_checkpoint, drop_copy, fill_disk, mend_checkpoint, open_process, prepare_copy, send
from .sight import Sight

_FULL_FOR = 5.0
"""Seconds at least that a disk is full: a save that fails at once is tried again meanwhile."""
_FULL_AT_MOST = 30.0
_SAVES_WITHIN = 60.0
_PAUSE = 0.02

Tell = Callable[[str], None]


class Strike:
    """One that only asks, or kills; the other kinds add to it."""

    def __init__(self, client: Client, sight: Sight, tell: Tell) -> None:
        self.client = client
        self.sight = sight
        self.tell = tell
        self.notes: list[str] = []
        self.faults: list[str] = []
        self.has_room = True
        self.before = self.now = Moment(0.0, "", 0, None, None)
        """The last look before the strike, and the newest one."""
        self.phases = Phases()

    @property
    def id(self) -> str:
        return self.sight.job["id"]

    @property
    def directory(self) -> Path:
        return Path(self.sight.job["checkpoint_dir"])

    def check(self) -> None:
        """Raises WrongState where it cannot be done; takes its time, and nothing is struck yet."""

    def begin(self) -> None:
        """Strikes."""

    def react(self) -> None:
        """Nothing more to do."""

    def end(self) -> None:
        """Nothing to put back."""

    def open_leader(self) -> int:
        """The process that the daemon names before and after a pidfd of it was opened."""
        assert self.before.pid is not None
        pidfd = open_process(self.before.pid)
        again = self.client.show(self.id)
        newest = again["attempts"][-1]
        if (newest["number"], newest["pid"], again["state"]) != (self.before.attempt, self.before.pid, "running"):
            os.close(pidfd)
            raise WrongState(
                "The job has changed meanwhile.", f"It is {again['state']}.", "Nothing was done; try again."
            )
        return pidfd


class Preemption(Strike):
    _is_parked = False
    """By this drill, and not resumed yet."""

    def begin(self) -> None:
        self._is_parked = True
        self.client.ask(self.id, "park")

    def react(self) -> None:
        if self.now.state == "parked" and self._is_parked:
            self._resume()

    def end(self) -> None:
        """Broken off in the middle, it must not stay parked."""
        if self._is_parked:
            with contextlib.suppress(WrongState, NoDaemon):
                self._resume()

    def _resume(self) -> None:
        self.client.ask(self.id, "resume")
        self._is_parked = False


class Crash(Strike):
    def begin(self) -> None:
        pidfd = self.open_leader()
        try:
            send(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)


class Hang(Strike):
    def begin(self) -> None:
        self.client.ask(self.id, "hang")
        self.tell("it is to stand still; what is too long for it, Perdure has learned from its steps")


class Corruption(Strike):
    """The process is held still while the byte is inverted, so that it cannot save a newer checkpoint meanwhile."""

    _broken: Broken | None = None

    def check(self) -> None:
        """A snapshot in memory that is newer than the checkpoint would spare the job the broken one: it saves first."""
        before = self.client.show(self.id)["checkpoint"]
        try:
            self.client.ask(self.id, "save")
        except WrongState:
            return  # a program that saves when it wants to
        until = self.sight.seconds + _SAVES_WITHIN
        while self.client.show(self.id)["checkpoint"] == before and self.sight.seconds < until:
            time.sleep(_PAUSE)

    def begin(self) -> None:
        pidfd = self.open_leader()
        try:
            send(pidfd, signal.SIGSTOP)
            try:
                self._broken = prepare_copy(self.directory)
                break_checkpoint(self._broken)
            except BaseException:
                send(pidfd, signal.SIGCONT)
                raise
            send(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
        self.tell(f"{self._broken.checkpoint.name}/{self._broken.file.name} has one wrong byte now")

    def end(self) -> None:
        broken = self._broken
        if broken is None:
            return
        name, place = parse_name(broken.checkpoint.name), broken.checkpoint
        assert name is not None
        if mend_checkpoint(broken):
            later = [each for each in list_checkpoints(self.directory) if (each.step, each.seq) > name]
            if self.now.resumed_from == name.step and not any(each.step == name.step for each in later):
                self.faults.append(f"it went on from {place.name}, which was broken")
            else:
                self.notes.append(f"{place.name} was not needed, since a newer snapshot was; its file was put back")
        else:
            drop_copy(broken)
            self.notes.append(f"{place.name} was set aside by Perdure; its whole file is kept as {broken.aside}")


class FullDisk(Strike):
    def begin(self) -> None:
        self._room = contextlib.ExitStack()
        taken = self._room.enter_context(fill_disk(self.directory))
        self.has_room = False
        self.tell(f"{taken >> 20} MiB were taken; the disk is full")
        with contextlib.suppress(WrongState):
            self.client.ask(self.id, "save")

    def react(self) -> None:
        has_trained_on = self.phases.stepped is not None and self.now.at >= _FULL_FOR
        if self.has_room or not (has_trained_on or self.now.at >= _FULL_AT_MOST or self.now.state != "running"):
            return
        if self.phases.saved is None and self.now.checkpoint != self.before.checkpoint:
            self.notes.append("a checkpoint was committed although the disk was full")
        self._give_back()
        with contextlib.suppress(WrongState):
            self.client.ask(self.id, "save")

    def end(self) -> None:
        self._give_back()

    def _give_back(self) -> None:
        if not self.has_room:
            self._room.close()
            self.has_room = True
            self.tell("the room was given back")


class DeathOfTheDaemon(Strike):
    def begin(self) -> None:
        pid = self.client.health()["pid"]
        pidfd = open_process(pid)
        try:
            if self.client.health()["pid"] != pid:
                raise WrongState("The daemon has changed meanwhile.", "", "Nothing was done; try again.")
            send(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
        self.tell("perdured is dead; waiting for it to be started again")

    def end(self) -> None:
        if self.now.daemon is None:
            self.notes.append("nobody has started perdured again; the job runs on without it. Start it: perdured")


STRIKES: dict[Kind, type[Strike]] = {
    "preempt": Preemption,
    "crash": Crash,
    "hang": Hang,
    "corrupt": Corruption,
    "disk-full": FullDisk,
    "daemon": DeathOfTheDaemon,
}
