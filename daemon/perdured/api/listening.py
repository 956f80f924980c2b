"""The daemon's socket: bound by ourselves, because a server library's own socket files are open to everybody."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from perdured.contract.durable import make_directories
from perdured.contract.sockets import bind_unix, connect_unix
from perdured.errors import AlreadyServed, PerdureError

from .peers import observe_peer

_LOOK_WITHIN = 2.0
"""Seconds to ask who serves a socket already."""


class SocketFile(NamedTuple):
    device: int
    inode: int


def open_listening(path: Path, *, is_for_all: bool = False) -> socket.socket:
    """The bound socket at `path`, mode 0600; a directory that has to be made for it is 0700. Where it is for all users
    of the machine, 0666 and 0755.

    A socket file that nobody answers on is replaced. Raises AlreadyServed when somebody does.
    """
    try:
        is_new = not path.parent.exists()
        make_directories(path.parent, mode=0o700)
        with _alone_in(path.parent):
            listener = bind_unix(path)
            if is_for_all:
                _let_everybody_in(path, is_new=is_new)
            return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE and path.is_socket():
            raise _explain_served(path) from error
        why = "What lies there is no socket" if path.exists() else error.strerror or str(error)
        todo = "Choose another place with --socket or PERDURE_SOCKET_PATH."
        raise PerdureError(f"Cannot listen on {path}.", f"{why}.", todo) from error


def _let_everybody_in(path: Path, *, is_new: bool) -> None:
    """Also where the umask forbids it. A directory that was there is left as it is: it says who may come as far."""
    path.chmod(0o666)
    if is_new:
        path.parent.chmod(0o755)


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Between two daemons of different state directories no other lock stands: each could take the socket that the
    other has bound, and does not listen on yet, for a stale one. Where there are no locks, nobody is kept out."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def close_listening(listener: socket.socket, path: Path, own: SocketFile | None) -> None:
    """Takes the socket file away, unless another has been put in its place: that one is somebody else's."""
    listener.close()
    if own is not None and observe_socket_file(path) == own:
        path.unlink(missing_ok=True)


def observe_socket_file(path: Path) -> SocketFile | None:
    """None when there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return SocketFile(status.st_dev, status.st_ino)


def _explain_served(path: Path) -> AlreadyServed:
    return AlreadyServed(
        f"The socket {path} is already served.",
        f"{_name_server(path)} answers on it.",
        "Use that daemon (`perdure ps`), stop it first, or start this one with another --socket and --state-dir.",
    )


def _name_server(path: Path) -> str:
    """Asked of the kernel, so that it also works when the other one hangs."""
    try:
        with connect_unix(path, _LOOK_WITHIN) as connection:
            pid = observe_peer(connection).pid
        return f"Process {pid} ({_read_name(pid)})"
    except OSError:
        return "Another process"


def _read_name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
