"""Who may talk to the daemon: its own user, and root.

The socket is 0600 in a directory of its own, which already keeps everybody else out. The kernel's word about the peer
is asked as well, because a directory or mode that somebody loosened must not hand over the jobs.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import NamedTuple


class Peer(NamedTuple):
    pid: int
    uid: int
    gid: int


def observe_peer(connection: socket.socket) -> Peer:
    """Who holds the other end of a unix socket; for a client's end, who listens."""
    size = struct.calcsize("3i")
    return Peer(*struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)))


def is_trusted(peer: Peer, own_uid: int) -> bool:
    return peer.uid in (0, own_uid)


def is_trusted_connection(connection: socket.socket) -> bool:
    return is_trusted(observe_peer(connection), os.geteuid())
