"""A connection that speaks D-Bus: to the system's bus, or to a service manager's own socket, as `systemctl` uses it.

jeepney says how messages look; its own connections are not used. It is imported at the first connection, so a daemon
without systemd never loads it.

The handshake goes out whole, as `systemctl` sends it, and what follows is sent when it was answered. jeepney's sends
the end of the handshake by itself: a manager that is still reading that takes what follows for a part of it, hangs up
on descriptors, and forgets a message. systemd 252 lost half the first calls so.

What comes by itself, in between or before an answer, is kept until it is asked for.
"""

from __future__ import annotations

import array
import errno
import os
import socket
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jeepney import Message

PATIENCE = 10.0
"""Seconds for an answer. A manager that is reloading takes one or two."""


class CallRefused(Exception):
    """The other's error: its name, and in words."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class Connection:
    """One caller at a time. Everything may raise OSError, or ValueError where the other cannot be understood."""

    def __init__(self, address: str | Path, patience: float = PATIENCE) -> None:
        from jeepney import Parser

        self._patience = patience
        self._parser = Parser()
        self._kept: deque[Message] = deque()
        self._serial = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(patience)
        try:
            self._socket.connect(str(address))
            self._shake_hands()
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def call(self, message: Message) -> tuple[object, ...]:
        """What is answered. Both may carry descriptors. Raises CallRefused."""
        from jeepney import HeaderFields, MessageType

        self._serial += 1
        self._send(message)
        while True:
            answer = self._receive()
            if answer.header.fields.get(HeaderFields.reply_serial) != self._serial:
                self._kept.append(answer)
            elif answer.header.message_type is MessageType.error:
                name = str(answer.header.fields.get(HeaderFields.error_name, ""))
                raise CallRefused(name, str(answer.body[0]) if answer.body else name)
            else:
                return tuple(answer.body)

    def take_messages(self) -> list[Message]:
        """All that has come by itself since the last time. Does not wait."""
        self._socket.settimeout(0)
        try:
            while True:
                self._kept.append(self._receive())
        except BlockingIOError:
            taken = list(self._kept)
            self._kept.clear()
            return taken
        finally:
            self._socket.settimeout(self._patience)

    def _shake_hands(self) -> None:
        """Who we are the other learns from the kernel (D-Bus Specification, EXTERNAL)."""
        identity = str(os.geteuid()).encode().hex()
        self._socket.sendall(f"\0AUTH EXTERNAL {identity}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n".encode())
        answer = b""
        while answer.count(b"\r\n") < 2:
            answer += _check(self._socket.recv(1))  # what follows the second line is a message already
        words = [line.split()[:1] for line in answer.splitlines()]
        if words != [[b"OK"], [b"AGREE_UNIX_FD"]]:
            raise ValueError(f"it answers {answer.decode(errors='replace')!r}")

    def _send(self, message: Message) -> None:
        descriptors = array.array("i")
        data = message.serialise(serial=self._serial, fds=descriptors)
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if descriptors else []
        sent = self._socket.sendmsg([data], passed)
        self._socket.sendall(data[sent:])

    def _receive(self) -> Message:
        """The next message. Never more bytes than it has: the descriptors that come with them are its own."""
        from jeepney.fds import FileDescriptor, fds_buf_size

        while (message := self._parser.get_next_message()) is None:
            data, attached, flags, _ = self._socket.recvmsg(self._parser.bytes_desired(), fds_buf_size())
            if flags & socket.MSG_CTRUNC:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            self._parser.add_data(_check(data), fds=FileDescriptor.from_ancdata(attached))
        return message


def open_system_bus(patience: float = PATIENCE) -> Connection:
    """Where DBUS_SYSTEM_BUS_ADDRESS says, or in its usual place."""
    from jeepney import message_bus
    from jeepney.bus import get_bus

    bus = Connection(get_bus("SYSTEM"), patience)
    try:
        bus.call(message_bus.Hello())
    except BaseException:
        bus.close()
        raise
    return bus


def _check(data: bytes) -> bytes:
    if not data:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    return data
