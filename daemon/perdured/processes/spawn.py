"""Starts a child that has nothing of ours but its end of a socket, as descriptor 0."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path


def spawn_alone(
    command: tuple[str, ...],
    env: Mapping[str, str],
    output: tuple[str | Path, int, int],
    kind: socket.SocketKind = socket.SOCK_STREAM,
) -> tuple[int, socket.socket]:
    """Its pid, and our end of the socket. It leads a session of its own, in which signals mean what they do by default.

    `output`, a path with the flags and the mode to open it, is what it and its errors are printed to. Raises OSError.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    try:
        pid = os.posix_spawn(
            command[0],
            command,
            env,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                (os.POSIX_SPAWN_OPEN, 1, *output),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return pid, ours
