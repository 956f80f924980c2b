"""One who is connected to the keeper: what came of it so far, and what waits to be sent to it."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Collection
from typing import NamedTuple

from perdured.contract import messages

from . import talk

_CREDENTIALS = "3i"


class Peer(NamedTuple):
    pid: int
    uid: int
    gid: int


def read_peer(connection: socket.socket) -> Peer:
    """Who is at the other end of a unix socket, by the kernel's word."""
    size = struct.calcsize(_CREDENTIALS)
    return Peer(*struct.unpack(_CREDENTIALS, connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)))


class Client:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.fd = connection.fileno()
        self.hello: talk.Hello | None = None
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.wants_status = False
        self.save: dict[str, object] | None = None
        """What it is to be told of a save that is wanted."""
        self.order: dict[str, object] | None = None
        """What it is to be told of parking."""
        self._descriptor: int | None = None

    def hold(self, descriptors: Collection[int]) -> None:
        """One at a time: what the client sent beside its words, until a message asks for it."""
        for descriptor in descriptors:
            self.drop_descriptor()
            self._descriptor = descriptor

    def take_descriptor(self) -> int:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            raise ValueError("there is no descriptor with it")
        return descriptor

    def drop_descriptor(self) -> None:
        if self._descriptor is not None:
            os.close(self.take_descriptor())

    def take_lines(self) -> list[bytes]:
        """The whole lines that have come; ValueError when one grows beyond all bounds."""
        *lines, rest = self.incoming.split(b"\n")
        if max(map(len, (*lines, rest))) > messages.MAX_LINE:
            raise ValueError("line too long")
        self.incoming = rest
        return [bytes(line) for line in lines]
