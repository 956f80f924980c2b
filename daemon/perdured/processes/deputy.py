"""Starts the deputy of a user: a daemon with that user's identity, as a child that has nothing else of ours."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from perdured.core.account import Account, make_login_environment
from perdured.descriptors import AT_START

from .spawn import spawn_alone
from .waiting import wait_readable

PROGRAM = Path(__file__).with_name("become.py")


class DeputyOrder(NamedTuple):
    account: Account
    state_dir: Path
    """Its own, made for it: the first place that it touches."""
    log: str
    """A name in there."""
    argv: tuple[str, ...]
    """What follows the interpreter."""


class DeputyProcess:
    def __init__(self, pid: int, pidfd: int, channel: socket.socket) -> None:
        self.pid = pid
        self._pidfd = pidfd
        self.channel = channel
        """Ours. When it is closed the deputy ends, and leaves its jobs to their keepers."""

    async def wait(self, ceiling: float | None = None) -> bool:
        """Until it has ended, and collects it; False when `ceiling` seconds have passed first."""
        if not await wait_readable(self._pidfd, ceiling):
            return False
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended
        return True

    def kill(self) -> None:
        """It has not ended although its channel is closed. Its jobs have keepers."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        self.channel.close()
        os.close(self._pidfd)


def start_deputy(order: DeputyOrder, machine: Mapping[str, str]) -> DeputyProcess:
    """`machine`: our own environment, of which it gets the language. Raises OSError."""
    command = (sys.executable, "-I", "-S", str(PROGRAM), _format(order))
    env = make_login_environment(order.account, machine)
    pid, ours = spawn_alone(command, env, (os.devnull, os.O_WRONLY, 0), socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return DeputyProcess(pid, os.pidfd_open(pid), ours)


def _format(order: DeputyOrder) -> str:
    account = order.account
    return json.dumps(
        {
            "uid": account.uid,
            "gid": account.gid,
            "name": account.name,
            "directory": str(order.state_dir),
            "log": order.log,
            "limits": {"RLIMIT_NOFILE": AT_START},
            "argv": [sys.executable, *order.argv],
        }
    )
