"""Starts an attempt. Each step is durable, or undone by the kernel, before the next (`keeper/main.py` has the table).

want.json and the cgroup leaf → the keeper, as a child of the daemon or as a unit of its own (`units.py`), which takes
its lock and says `ready` → `go` → the command. A daemon that dies before `go` leaves a keeper that ends by itself; one
that dies after it leaves an attempt to be adopted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from perdured import keeper
from perdured.contract import durable, environment
from perdured.descriptors import AT_START, give_back_limit
from perdured.errors import PerdureError
from perdured.keeper import cgroup, channel, records
from perdured.keeper.records import Leash, Want
from perdured.tasks import finish_within

from .limits import is_limited
from .orphan import is_over, perform_clean
from .spawn import spawn_alone
from .units import LOG_FLAGS, Execution, Unit, name_unit, spawn_unit

READY_CEILING = 30.0
"""Seconds for an interpreter to start and bind a socket; a machine that needs more is in no state to train."""
PROGRAM = Path(keeper.__file__).with_name("__main__.py")
_LOG_TAIL = 2000

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""Of the daemon, of a start channel."""

Keepers = Literal["children", "units"]
"""Whose the keepers are: ours, or systemd's."""

_unreaped: set[int] = set()


@dataclass(frozen=True)
class Order:
    directory: Path
    job: str
    attempt: int
    argv: tuple[str, ...]
    env: dict[str, str]
    """All of it, but for what ties the attempt to its keeper, which is added here."""
    workdir: str
    stop_signal: int
    grace: float
    """Seconds."""
    checkpoint_dir: str | None = None
    """Held by the keeper: no other attempt writes there meanwhile."""
    memory: int | None = None
    """Bytes that its processes may have together."""
    leash: Leash | None = None
    """Until when it may run, where its job is leased."""
    in_unit: bool = False
    """Its keeper is a unit of systemd instead of a child of ours."""

    @property
    def unit(self) -> Unit | None:
        if not self.in_unit:
            return None
        said = f"Perdure: attempt {self.attempt} of job {self.job}"
        return Unit(name_unit(self.job, self.attempt), said, self.grace, self.memory)


class KeeperFailed(PerdureError):
    """Nothing was started. Trying again is safe."""


class NotReady(KeeperFailed):
    """Its keeper did not come as far as to say that it is ready."""


class DirectoryInUse(KeeperFailed):
    """Another attempt holds the checkpoint directory."""


class Early(Protocol):
    """A keeper that was started early, with a process that waits for its program to begin (`standby.py`)."""

    nonce: str
    """What that process has in its environment."""
    unit: Unit | None
    """That its keeper is."""

    def take(self, directory: Path) -> Ends:
        """The start channel to the keeper, which from now on is that of the attempt in this directory."""
        ...


class Started(NamedTuple):
    stood_by: bool
    """`early` was of use."""
    is_limited: bool
    """False where its memory was to be limited, and this machine does not let us."""


async def start_keeper(order: Order, program: Path = PROGRAM, early: Early | None = None) -> Started:
    """Starts the attempt. Returns when run.json is durable and the command runs, or exit.json says why it does not.

    Raises PerdureError or OSError, and then nothing was started. Cancelled before `go`, nothing is started either.
    """
    _reap_keepers()
    await asyncio.to_thread(clear_earlier, order.directory)
    if early is not None:
        with contextlib.suppress(NotReady, OSError):  # what never said that it is ready has started nothing
            return Started(True, await _start(order, early.nonce, early.unit, partial(_take_early, early)))
    return Started(False, await _start(order, secrets.token_hex(16), order.unit, partial(_spawn, program)))


async def _start(order: Order, nonce: str, unit: Unit | None, open_channel: Callable[[Order], Awaitable[Ends]]) -> bool:
    """Whether its memory is limited as ordered."""
    want = await asyncio.to_thread(_save_want, order, nonce, unit)
    if want.cgroup is not None and order.memory is not None:
        cgroup.limit_memory(want.cgroup, order.memory)
    try:
        reader, writer = await open_channel(order)
        try:
            await _expect_ready(reader, order)
            writer.write(channel.GO.encode())
            await _expect(reader, order, (channel.STARTED, channel.NOT_STARTED), None)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    except BaseException:
        if want.cgroup is not None:
            cgroup.remove(want.cgroup)
        raise
    return order.memory is None or await asyncio.to_thread(is_limited, order.directory, order.memory)


async def _spawn(program: Path, order: Order) -> Ends:
    return await open_keeper(order.directory, order.unit, program)


async def open_keeper(directory: Path, unit: Unit | None, program: Path = PROGRAM, *options: str) -> Ends:
    """A keeper that has nothing of ours but its end of the start channel, as a child or as this unit."""
    if unit is None:
        ours = spawn_keeper(directory, program, *options)
    else:
        command = _make_command(directory, program, *options)
        ours = await spawn_unit(unit, Execution(command, directory / records.KEEPER_LOG, AT_START))
    return await asyncio.open_unix_connection(sock=ours)


def _make_command(directory: Path, program: Path, *options: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-S", str(program), str(directory), *options)


async def _take_early(early: Early, order: Order) -> Ends:
    return early.take(order.directory)


async def _expect_ready(reader: asyncio.StreamReader, order: Order) -> None:
    try:
        await _expect(reader, order, (channel.READY,), READY_CEILING)
    except DirectoryInUse:
        raise
    except KeeperFailed as error:
        raise NotReady(error.what, error.why, error.todo) from error


def clear_earlier(directory: Path) -> None:
    """The fence between two attempts of a job: nothing starts while something of the one before is left.

    The one before that was over when the one before was started, and so on. Raises StillHeld, NotClean or OSError.
    """
    number = int(directory.name) if directory.name.isdecimal() else 0
    earlier = [int(path.name) for path in directory.parent.glob("*") if path.name.isdecimal()]
    last = max((n for n in earlier if n < number), default=None)
    if last is not None and not is_over(directory.with_name(str(last))):
        perform_clean(directory.with_name(str(last)))


def _save_want(order: Order, nonce: str, unit: Unit | None = None) -> Want:
    directory = order.directory
    if (directory / records.RUN).exists() or (directory / records.EXIT).exists():
        raise _make_failure(order, "It has been started before, and an attempt starts only once.")
    durable.make_directories(directory, 0o700)
    leaf = None if unit is not None else cgroup.make_leaf(f"perdure-{order.job}-{order.attempt}-{nonce[:8]}")
    ties = {environment.CHANNEL: str(directory / records.SOCKET), environment.ATTEMPT_NONCE: nonce}
    want = Want(
        order.job,
        order.attempt,
        nonce,
        order.argv,
        {**order.env, **ties},
        order.workdir,
        order.stop_signal,
        order.grace,
        leaf,
        order.checkpoint_dir,
        unit.name if unit is not None else None,
        order.leash,
    )
    records.save_want(directory, want)
    return want


def spawn_keeper(directory: Path, program: Path = PROGRAM, *options: str) -> socket.socket:
    """Our end of the start channel of a keeper that is our child."""
    output = (directory / records.KEEPER_LOG, LOG_FLAGS, 0o600)
    pid, ours = spawn_alone(_make_command(directory, program, *options), os.environ, output)
    give_back_limit(pid)
    _unreaped.add(pid)
    _reap_at_end(pid)
    return ours


async def _expect(reader: asyncio.StreamReader, order: Order, words: tuple[str, ...], ceiling: float | None) -> None:
    try:
        line = await finish_within(reader.readline(), ceiling)
    except asyncio.TimeoutError:
        raise _make_failure(order, f"Its keeper did not come up within {ceiling:.0f} s.") from None
    except ConnectionError:
        line = b""
    word, _, text = line.decode(errors="replace").strip().partition(" ")
    if word == channel.TAKEN:
        raise DirectoryInUse(
            _say_not_started(order),
            f"{text} writes its checkpoints to {order.checkpoint_dir}.",
            "End that one first, or change `checkpoint.dir`.",
        )
    if word == channel.FAILED:
        raise _make_failure(order, f"Its keeper says: {text}.")
    if word not in words:
        tail = await asyncio.to_thread(_read_tail, order.directory / records.KEEPER_LOG)
        raise _make_failure(order, f"Its keeper ended without a word. {tail}".strip())


def _say_not_started(order: Order) -> str:
    return f"Attempt {order.attempt} of job {order.job} could not be started."


def _make_failure(order: Order, why: str) -> KeeperFailed:
    todo = f"The keeper's log is {order.directory / records.KEEPER_LOG}."
    if order.unit is not None:
        todo = f"{todo} What systemd says of it: journalctl --unit {order.unit.name}"
    return KeeperFailed(_say_not_started(order), why, todo)


def _read_tail(path: Path) -> str:
    try:
        return path.read_bytes()[-_LOG_TAIL:].decode(errors="replace").strip()
    except OSError:
        return ""


def _reap_at_end(pid: int) -> None:
    """Collects the keeper when it ends, if the running loop still runs then; if not, the next start does."""
    loop = asyncio.get_running_loop()
    pidfd = os.pidfd_open(pid)

    def collect() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        _reap_keepers()

    loop.add_reader(pidfd, collect)


def _reap_keepers() -> None:
    for pid in tuple(_unreaped):
        try:
            is_dead = os.waitpid(pid, os.WNOHANG) != (0, 0)
        except ChildProcessError:  # somebody else has collected it
            is_dead = True
        if is_dead:
            _unreaped.discard(pid)
