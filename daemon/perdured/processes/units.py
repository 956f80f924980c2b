"""A keeper as a unit of its own: a transient service of systemd, beside the daemon's own unit and not within it.

So the daemon's unit may be stopped, restarted, killed and hardened without any job taking part in it; and when the
machine goes down each keeper gets its own SIGTERM, and its own time.

- **A service, no scope.** A scope would be made of a child of the daemon, and a child has the daemon's sandbox. A
  service is started by the manager, and has nothing of ours but the three descriptors that we pass: the start channel
  as standard input, the keeper's log as the other two. The protocol of `launch.py` is the same, crash for crash.
- **Only the keeper is signalled** (`KillMode=process`), and nothing is killed when it dies: how its job ends is the
  keeper's business, and an orphan's is the daemon's.
- **The name is the attempt's**, so two keepers of one attempt cannot even be asked for; that of a standby, which may
  become any, is its own. A unit that has ended is forgotten at once, also a failed one: the truth is in the attempt's
  directory.
- **The cgroup is the keeper's** (`Delegate=`): it makes the leaf for its job in it.
- **Memory is limited for the unit** (`MemoryMax=`), by the manager, which alone has the controller. So the keeper is
  within the limit, and is the last that the kernel would kill for it: it is the smallest, and where it may it says so.

Known limit. The manager keeps copies of the three descriptors for as long as the unit lives, so that the end of the
channel tells of a dead keeper only once the manager has seen it as well.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from perdured.errors import PerdureError

from .systemd import CallRefused, Unanswered, call_manager, find_manager_socket

if TYPE_CHECKING:
    from jeepney import Message

SLICE = "perdure.slice"
"""All jobs of a manager: `systemctl set-property perdure.slice MemoryMax=…` limits them together."""
BESIDE_THE_JOB = 16 << 20
"""Bytes for the keeper itself, where a limit of memory holds for it and its job together."""
AFTER_THE_GRACE = 60.0
"""Seconds for the kill, the last snapshot and the record of the end."""
LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
Properties = list[tuple[str, tuple[str, object]]]
_INFINITE = (1 << 64) - 1
_EXISTS = "org.freedesktop.systemd1.UnitExists"


class NoUnit(PerdureError):
    """There is no service manager that could start it. Nothing was started; trying again is safe."""


class Unit(NamedTuple):
    """What a keeper is to systemd."""

    name: str
    description: str
    grace: float
    """Seconds that its job has to save."""
    memory: int | None = None
    """Bytes that the processes of its job may have together."""


class Execution(NamedTuple):
    command: Sequence[str]
    log: Path
    files: tuple[int, int]
    """The limit of open files, soft and hard."""


def name_unit(job: str, attempt: int) -> str:
    return f"perdure-keeper-{job}-{attempt}.service"


def name_standby(job: str, nonce: str) -> str:
    return f"perdure-keeper-{job}-standby-{nonce[:8]}.service"


async def spawn_unit(unit: Unit, execution: Execution) -> socket.socket:
    """Our end of its start channel. Raises NoUnit, and then nothing was started. Cancelled, its keeper ends at once."""
    starting = asyncio.ensure_future(asyncio.to_thread(_start, unit, execution))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_let_go)
        raise


def _let_go(starting: asyncio.Future[socket.socket]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.result().close()


def _start(unit: Unit, execution: Execution) -> socket.socket:
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            log = os.open(execution.log, LOG_FLAGS, 0o600)
            try:
                _ask(unit, list_properties(unit, execution, theirs.fileno(), log))
            finally:
                os.close(log)
    except BaseException:
        ours.close()
        raise
    return ours


def _ask(unit: Unit, properties: Properties) -> None:
    path = find_manager_socket(os.environ.get("XDG_RUNTIME_DIR"), os.getuid())
    try:
        call_manager(path, make_start(unit.name, properties))
    except Unanswered as error:
        raise NoUnit(_say(unit), f"{error}.", _say_how_to_get_one()) from error
    except CallRefused as error:
        todo = f"See `systemctl status {unit.name}`." if error.name == _EXISTS else "It is tried again."
        raise NoUnit(_say(unit), f"systemd says: {error}", todo) from error


def _say(unit: Unit) -> str:
    return f"The unit {unit.name} could not be started."


def _say_how_to_get_one() -> str:
    if os.getuid() == 0:
        return "Start the daemon with --keepers children where systemd does not run."
    name = pwd.getpwuid(os.getuid()).pw_name
    return f"Let its service manager run without a login: loginctl enable-linger {name}"


def make_start(name: str, properties: Properties) -> Message:
    """The call that starts a transient unit."""
    from jeepney import DBusAddress, new_method_call

    manager = DBusAddress(
        "/org/freedesktop/systemd1",
        bus_name="org.freedesktop.systemd1",
        interface="org.freedesktop.systemd1.Manager",
    )
    nothing_else: list[object] = []
    body = (name, "fail", properties, nothing_else)
    return new_method_call(manager, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)


def list_properties(unit: Unit, execution: Execution, channel: int, log: int) -> Properties:
    """What the unit is, as D-Bus says it (org.freedesktop.systemd1(5)); systemd/README.md has the reasons."""
    soft, hard = (_INFINITE if limit < 0 else limit for limit in execution.files)
    memory = [] if unit.memory is None else [("MemoryMax", ("t", unit.memory + BESIDE_THE_JOB))]
    return [
        *memory,
        ("Description", ("s", unit.description)),
        ("Type", ("s", "exec")),
        ("ExecStart", ("a(sasb)", [(execution.command[0], list(execution.command), False)])),
        ("StandardInputFileDescriptor", ("h", channel)),
        ("StandardOutputFileDescriptor", ("h", log)),
        ("StandardErrorFileDescriptor", ("h", log)),
        ("KillMode", ("s", "process")),
        ("TimeoutStopUSec", ("t", round((unit.grace + AFTER_THE_GRACE) * 1e6))),
        ("CollectMode", ("s", "inactive-or-failed")),
        ("Delegate", ("b", True)),
        ("Slice", ("s", SLICE)),
        ("OOMPolicy", ("s", "continue")),
        ("TasksMax", ("t", _INFINITE)),
        ("LimitNOFILE", ("t", hard)),
        ("LimitNOFILESoft", ("t", soft)),
    ]
