"""One call to a service manager over its own socket, as `systemctl` does it: no message bus has to be there.

The library is imported at the first call. A daemon whose keepers are its children never loads it.

The handshake goes out whole, as `systemctl` sends it, and the call follows when it was answered. A manager that is
still reading the end of the handshake takes what follows for a part of it: it hangs up on descriptors, and forgets a
message.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jeepney import Message

PATIENCE = 10.0
"""Seconds for an answer. A manager that is reloading takes one or two."""
_CHUNK = 1 << 16


class Unanswered(Exception):
    """Why no service manager answers."""


class CallRefused(Exception):
    """The manager's error: its name, and in words."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


def find_manager_socket(runtime: str | None, uid: int) -> Path:
    """The user's own manager where there is a session of it (`XDG_RUNTIME_DIR`), the system's for root, and for any
    other account, such as a system service's, the manager that lingers for it."""
    if runtime:
        return Path(runtime, "systemd", "private")
    return Path("/run/systemd/private") if uid == 0 else Path(f"/run/user/{uid}/systemd/private")


def call_manager(path: Path, message: Message) -> tuple[object, ...]:
    """What the manager answers. The message may carry descriptors. Raises Unanswered, CallRefused."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(path))
            _shake_hands(connection)
            _send(connection, message)
            return _receive(connection)
    except (OSError, ValueError) as error:  # ValueError: what it says cannot be understood
        raise Unanswered(f"No service manager answers on {path}: {_explain(error)}") from error


def _shake_hands(connection: socket.socket) -> None:
    """Who we are it learns from the kernel (D-Bus Specification, EXTERNAL)."""
    identity = str(os.geteuid()).encode().hex()
    connection.sendall(f"\0AUTH EXTERNAL {identity}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n".encode())
    answer = b""
    while answer.count(b"\r\n") < 2:
        data = connection.recv(_CHUNK)
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        answer += data
    words = [line.split()[:1] for line in answer.splitlines()]
    if words != [[b"OK"], [b"AGREE_UNIX_FD"]]:
        raise ValueError(f"it answers {answer.decode(errors='replace')!r}")


def _send(connection: socket.socket, message: Message) -> None:
    descriptors = array.array("i")
    data = message.serialise(serial=1, fds=descriptors)
    passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if descriptors else []
    sent = connection.sendmsg([data], passed)
    connection.sendall(data[sent:])


def _receive(connection: socket.socket) -> tuple[object, ...]:
    """The reply to the only call of this connection; what the manager tells everybody in between is passed over."""
    from jeepney import HeaderFields, MessageType, Parser

    parser = Parser()
    while True:
        message = parser.get_next_message()
        if message is None:
            data = connection.recv(_CHUNK)
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            parser.add_data(data)
        elif message.header.message_type is MessageType.error:
            name = str(message.header.fields.get(HeaderFields.error_name, ""))
            raise CallRefused(name, str(message.body[0]) if message.body else name)
        elif message.header.message_type is MessageType.method_return:
            return tuple(message.body)


def _explain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"not within {PATIENCE:g} s"
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
