"""Unix sockets at paths of any length.

The address of a unix socket holds 107 bytes, and a state directory in somebody's home is soon longer. So the directory
is opened, and the socket is named through `/proc/self/fd/<fd>/<name>`, which is short whatever the path is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

BACKLOG = 256
"""Clients that may wait to be accepted. One more, when its socket has a timeout, gets BlockingIOError at once."""


def bind_unix(path: str | os.PathLike[str]) -> socket.socket:
    """A listening socket at `path`, for its owner alone (mode 0600).

    A stale socket file, one that nobody answers on, is replaced; the caller holds a lock that keeps two owners apart.
    OSError with EADDRINUSE when somebody answers, or when what lies there is no socket.
    """
    with contextlib.closing(_Address(path)) as address:
        try:
            return _listen(address.text)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not address.is_stale():
                raise
        address.unlink()
        return _listen(address.text)


def connect_unix(path: str | os.PathLike[str], timeout: float | None) -> socket.socket:
    """A connected socket that keeps `timeout` (seconds; None waits for ever). Raises OSError."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(timeout)
        with contextlib.closing(_Address(path)) as address:
            client.connect(address.text)
    except BaseException:
        client.close()
        raise
    return client


def _listen(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux makes the socket file with the mode of the unbound socket: no moment in which others could connect.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(address)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


class _Address:
    """The short name of a path, good while its directory is held open."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        directory, self._name = os.path.split(os.fspath(path))
        self._fd = os.open(directory or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.text = f"/proc/self/fd/{self._fd}/{self._name}"

    def close(self) -> None:
        os.close(self._fd)

    def is_stale(self) -> bool:
        """True when this is a socket that nobody listens on any more."""
        if not stat.S_ISSOCK(os.stat(self._name, dir_fd=self._fd, follow_symlinks=False).st_mode):
            return False
        probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # A listener whose backlog is full says EAGAIN: it lives.
            probe.setblocking(False)
            return probe.connect_ex(self.text) == errno.ECONNREFUSED
        finally:
            probe.close()

    def unlink(self) -> None:
        os.unlink(self._name, dir_fd=self._fd)
