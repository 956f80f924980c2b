"""How a connection is turned away that nobody has read from: an answer as the API gives it, whatever was asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

from perdured.errors import PerdureError
from perdured.tasks import finish_within

from .accounts import NoAccount

PATIENCE = 2.0
"""Seconds in which the client may send the request that is not read; one that is hung up on sooner sees no answer."""


def format_refusal(error: PerdureError) -> bytes:
    told = {"what": error.what, "why": error.why, "todo": error.todo, "exit_status": error.exit_status}
    body = json.dumps({"error": told}).encode()
    status = "403 Forbidden" if isinstance(error, NoAccount) else "503 Service Unavailable"
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body


async def refuse(connection: socket.socket, error: PerdureError) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        connection.send(format_refusal(error))
        connection.shutdown(socket.SHUT_WR)
        await finish_within(_drop_all(loop, connection), PATIENCE)


async def _drop_all(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    while await loop.sock_recv(connection, 1 << 16):
        pass
