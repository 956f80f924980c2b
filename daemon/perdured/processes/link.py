"""A connection to the keeper of an attempt, believed only when it has proven who it is.

All of this must hold before a word of it counts:

1. the socket's other end is a process of our user, by the kernel's word (SO_PEERCRED),
2. its PID is the keeper's in run.json,
3. a pidfd was opened for that PID *before* its start time was read, and start time and boot id are those of run.json,
4. it knows the nonce of want.json,
5. the leader it speaks of is the leader of run.json.

This guards against mistakes: a PID that came round again, a copied state directory, a socket left behind. Someone who
acts with our own user id has no need to deceive us.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

from perdured.contract import messages, sockets
from perdured.contract.pacing import Pace, parse_pace
from perdured.core.observation import Exit, Stand
from perdured.core.pulse import Pulse, Unhealthy
from perdured.core.tally import Tally
from perdured.errors import PerdureError
from perdured.keeper import records, talk
from perdured.keeper.client import read_peer
from perdured.keeper.identity import open_process
from perdured.keeper.records import Leash, RunRecord, Want, take, take_optional
from perdured.keeper.talk import MemoryPlace
from perdured.tasks import finish_within

from .observe import make_exit
from .waiting import wait_readable

HANDSHAKE_CEILING = 2.0
"""Seconds for the first status."""
_DEATH_CEILING = 1.0
"""Seconds to wait for a keeper that has hung up to be gone: only then its lock is surely free."""
_LINE_LIMIT = 1 << 20
V = TypeVar("V", Pulse, Unhealthy, Tally, Stand)


class NotOurs(PerdureError):
    """Whoever answers on the keeper's socket is not the recorded keeper. Nothing may be done to it."""

    def __init__(self, directory: Path, why: str) -> None:
        super().__init__(
            f"The keeper in {directory} is not the one that was started.",
            why,
            "Nothing was touched. Look at the processes that use this directory, then restart the daemon.",
        )


@dataclass(frozen=True)
class KeeperStatus:
    """All that a keeper has to tell. The attempt has ended when its lock is free, not when `exit` is known."""

    leader_pid: int
    started_at: float
    """Seconds since the epoch."""
    step: int | None
    loss: float | None
    total: int | None
    checkpoint_step: int | None
    checkpoint_path: str | None
    saving: bool
    stop_reason: str | None
    exit: Exit | None
    pace: Pace | None = None
    pulse: Pulse | None = None
    unhealthy: Unhealthy | None = None
    stacks: tuple[int, int] | None = None
    """A process that writes its stacks on a signal: (pid, signal)."""
    can_park: bool = False
    """It stands still when it is asked to."""
    is_asked_to_park: bool = False
    parked: Stand | None = None
    tally: Tally | None = None
    memory: MemoryPlace | None = None


OnStatus = Callable[[KeeperStatus], None]
OnGone = Callable[[], None]


async def connect_keeper(directory: Path, on_status: OnStatus, on_gone: OnGone, epoch: int = 0) -> KeeperLink:
    """`on_status` is called once before this returns and then at each change, `on_gone` once, when the keeper has gone.

    `epoch` grows with each daemon on a state directory: a keeper does not obey one that is older than the newest it
    has met. Raises NotOurs, or OSError when nobody answers (yet).
    """
    try:
        want, run = records.load_want(directory), records.load_run(directory)
    except ValueError as error:
        raise NotOurs(directory, str(error)) from error
    if run is None:
        raise FileNotFoundError(f"no {records.RUN} in {directory} yet")
    connection = sockets.connect_unix(directory / records.SOCKET, 0)
    try:
        pidfd = _prove_process(directory, connection, run)
    except BaseException:
        connection.close()
        raise
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_LINE_LIMIT)
    link = KeeperLink(Holder(run.keeper.pid, want.unit), pidfd, reader, writer)
    try:
        link.send(
            type=messages.HELLO, role=messages.ROLE_DAEMON, version=messages.VERSION, nonce=want.nonce, epoch=epoch
        )
        line = await finish_within(reader.readline(), HANDSHAKE_CEILING)
        if not line:
            await link.explain_silence(directory)
        on_status(_prove_status(directory, line, want, run))
    except asyncio.TimeoutError:
        link.close()
        raise OSError(f"the keeper in {directory} does not answer") from None
    except BaseException:
        link.close()
        raise
    link.listen(on_status, on_gone)
    return link


class Holder(NamedTuple):
    """Who holds an attempt."""

    pid: int
    unit: str | None
    """That it is to systemd; None for a child of the daemon that started it."""


class KeeperLink:
    def __init__(self, holder: Holder, pidfd: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.holder = holder
        self._pidfd = pidfd
        """The keeper's."""
        self._reader = reader
        self._writer = writer
        self._listening: asyncio.Task[None] | None = None

    def ask_stop(self, reason: str, grace: float) -> None:
        """Asks the keeper to end the attempt; asked again, only the deadline can change, and only to an earlier one."""
        self.send(type=messages.STOP, reason=reason, grace=grace)

    def ask_save(self, before: float | None = None) -> None:
        """A checkpoint at the next safe point; none at all if it cannot be durable before so many seconds are over."""
        self.send(type=messages.SAVE, **({} if before is None else {"before": before}))

    def ask_hang(self) -> None:
        """A fire drill: the job is to make no more steps, until that is noticed."""
        self.send(type=messages.HANG)

    def ask_to_park(self, before: float) -> None:
        """Save within so many seconds, and stand still at the next safe point until `let_go_on`."""
        self.send(type=messages.PARK, before=before)

    def let_go_on(self) -> None:
        self.send(type=messages.GO_ON)

    def hold_until(self, leash: Leash) -> None:
        """The attempt may run until then, also if nobody tells it more."""
        self.send(type=messages.LEASE, **leash._asdict())

    def ask_status(self) -> None:
        """The next status will have been made after this, and after all that the job has said by now."""
        self.send(type=messages.TELL)

    def close(self) -> None:
        """Hangs up. The keeper goes on; `on_gone` will not be called."""
        if self._listening is not None:
            self._listening.cancel()
        else:
            self._release()

    def send(self, **message: object) -> None:
        if not self._writer.is_closing():
            self._writer.write(talk.format_message(message))

    def listen(self, on_status: OnStatus, on_gone: OnGone) -> None:
        self._listening = asyncio.create_task(self._listen(on_status))
        self._listening.add_done_callback(partial(self._end, on_gone))

    async def explain_silence(self, directory: Path) -> NoReturn:
        """It hung up on our hello: because it ended just now, or because it did not believe us."""
        if await wait_readable(self._pidfd, _DEATH_CEILING):
            raise ConnectionResetError(f"the keeper in {directory} has just ended")
        raise NotOurs(directory, "It hung up: it has another secret than this attempt's.")

    async def _listen(self, on_status: OnStatus) -> None:
        while (status := await self._read_status()) is not None:
            on_status(status)
        await wait_readable(self._pidfd, _DEATH_CEILING)

    def _end(self, on_gone: OnGone, listening: asyncio.Task[None]) -> None:
        self._release()
        if not listening.cancelled():
            on_gone()

    async def _read_status(self) -> KeeperStatus | None:
        """None when the keeper has hung up, or what it says cannot be understood. What only a later version tells is
        passed over."""
        try:
            while line := await self._reader.readline():
                message = talk.parse_line(line)
                if message["type"] == messages.STATUS:
                    return parse_status(message)
        except (OSError, ValueError):
            pass
        return None

    def _release(self) -> None:
        os.close(self._pidfd)
        self._writer.close()


def parse_status(message: dict[str, object]) -> KeeperStatus:
    """Raises ValueError."""
    progress = take_optional(message, "progress", dict) or {}
    checkpoint = take_optional(message, "checkpoint", dict) or {}
    pace = take_optional(message, "pace", dict)
    stop = take_optional(message, "stop", dict)
    exit, stacks = take_optional(message, "exit", dict), take_optional(message, "stacks", dict)
    memory = take_optional(message, "memory", dict)
    return KeeperStatus(
        leader_pid=take(take(message, "leader", dict), "pid", int),
        started_at=take(message, "started_at", float),
        step=take_optional(progress, "step", int),
        loss=take_optional(progress, "loss", float),
        total=take_optional(progress, "total", int),
        checkpoint_step=take_optional(checkpoint, "step", int),
        checkpoint_path=take_optional(checkpoint, "path", str),
        saving=take(message, "saving", bool),
        stop_reason=take(stop, "reason", str) if stop is not None else None,
        exit=make_exit(records.parse_exit(exit)) if exit is not None else None,
        pace=parse_pace(pace) if pace is not None else None,
        pulse=_parse(Pulse, message, "pulse"),
        unhealthy=_parse(Unhealthy, message, "unhealthy"),
        stacks=(take(stacks, "pid", int), take(stacks, "signal", int)) if stacks is not None else None,
        tally=_parse(Tally, message, "tally"),
        can_park=take_optional(message, "can_park", bool) or False,
        is_asked_to_park=take_optional(message, "asked_to_park", bool) or False,
        parked=_parse(Stand, message, "parked"),
        memory=MemoryPlace(take(memory, "pid", int), take(memory, "descriptor", int)) if memory is not None else None,
    )


def _parse(kind: type[V], message: dict[str, object], name: str) -> V | None:
    value = take_optional(message, name, dict)
    return kind.model_validate(value) if value is not None else None


def _prove_process(directory: Path, connection: socket.socket, run: RunRecord) -> int:
    """A pidfd of the keeper, alive, at the other end of the connection."""
    peer = read_peer(connection)
    if peer.uid != os.geteuid() or peer.pid != run.keeper.pid:
        raise NotOurs(directory, f"Its socket belongs to process {peer.pid} of user {peer.uid}, not {run.keeper.pid}.")
    pidfd = open_process(run.keeper)
    if pidfd is None:
        raise NotOurs(directory, f"Process {run.keeper.pid} is not the one that was recorded.")
    return pidfd


def _prove_status(directory: Path, line: bytes, want: Want, run: RunRecord) -> KeeperStatus:
    try:
        message = json.loads(line)
        if take(message, "nonce", str) != want.nonce:
            raise NotOurs(directory, "It does not know the secret of this attempt.")
        if take(message, "leader", dict) != records.to_plain(run.leader):
            raise NotOurs(directory, f"It does not hold process {run.leader.pid}, which was recorded.")
        return parse_status(message)
    except ValueError as error:
        raise NotOurs(directory, f"It does not speak as a keeper: {error}.") from error
