"""The socket that everybody on the machine may connect to, from root's side.

A connection is judged by the kernel's word about who made it, before a byte of it is read. Ours are served here; any
other goes to that user's deputy as it is, and is nothing to us from then on.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections import Counter

from perdured.core.access import Access, decide_access
from perdured.errors import PerdureError
from perdured.keeper.client import read_peer

from .accounts import say_no_account
from .deputies import Deputies
from .refusal import refuse

Arrivals = asyncio.Queue[socket.socket]
"""Connections of those whom this very daemon serves."""

AFTER_ERROR = 1.0
"""Seconds until the next try where no descriptor is left for a connection."""
MOST_WAITING = 64
"""Connections of one user that may wait for the deputy; one more is hung up on, and nobody else's waits for these."""
_NOTHING_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_log = logging.getLogger("perdured")


class Door:
    def __init__(self, listening: socket.socket, deputies: Deputies, arrivals: Arrivals) -> None:
        self._listening = listening
        self._deputies = deputies
        self._arrivals = arrivals
        self._passing_on: set[asyncio.Task[None]] = set()
        self._waiting: Counter[int] = Counter()

    async def run(self) -> None:
        """Until cancelled."""
        self._listening.setblocking(False)
        while True:
            connection = await self._accept()
            if connection is None:
                continue
            uid = read_peer(connection).uid
            access = decide_access(uid, os.geteuid(), "submitter")
            if access == "serve":
                await self._arrivals.put(connection)
            elif self._waiting[uid] >= MOST_WAITING:
                connection.close()
            else:
                self._waiting[uid] += 1
                task = asyncio.create_task(self._pass_on(uid, connection, access))
                self._passing_on.add(task)
                task.add_done_callback(self._passing_on.discard)

    async def _accept(self) -> socket.socket | None:
        try:
            connection, _ = await asyncio.get_running_loop().sock_accept(self._listening)
        except OSError as error:
            if error.errno in _NOTHING_LEFT:
                _log.warning("no connection can be taken: %s", error.strerror)
                await asyncio.sleep(AFTER_ERROR)
            return None
        return connection

    async def _pass_on(self, uid: int, connection: socket.socket, access: Access) -> None:
        try:
            with connection:
                try:
                    if access == "refuse":
                        raise say_no_account(uid)
                    await self._deputies.hand_over(uid, connection)
                except PerdureError as error:
                    await refuse(connection, error)
        finally:
            self._waiting[uid] -= 1
            self._waiting += Counter()  # forgets those of whom nobody waits
