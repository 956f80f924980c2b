"""The server inside the daemon's own event loop.

Uvicorn is told to leave alone what is the daemon's: signals, logging, the loop, the socket. Its main loop, which wakes
ten times a second to look whether it should end, is replaced by one wait, so that an idle daemon is idle.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from perdured.errors import PerdureError

from .app import make_app
from .peers import is_trusted_connection
from .replies import Failure, FailureReply
from .seam import Service

CLOSE_WITHIN = 3
"""Seconds for answers under way; then their tasks are cancelled. Long polls are answered at once."""


async def serve(service: Service, listening: socket.socket) -> None:
    """Answers on `listening` until cancelled, then closes it; requests under way are answered first."""
    app = make_app(service)
    config = uvicorn.Config(
        app,
        http=_TrustedPeers,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=CLOSE_WITHIN,
    )
    server = _Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(running)
    finally:
        app.state.closing.set()
        server.ending.set()
        await running


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: the daemon handles its signals, and cancels us."""
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.ending.wait()


class _TrustedPeers(H11Protocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not is_trusted_connection(transport.get_extra_info("socket")):
            transport.write(_REFUSAL)
            transport.close()


def _format_refusal() -> bytes:
    told = Failure(
        what="This daemon serves another user.",
        why="It talks to its own user and to root only.",
        todo="Start a daemon of your own with `perdured &`.",
        exit_status=PerdureError.exit_status,
    )
    body = FailureReply(error=told).model_dump_json()
    head = f"HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n{body}".encode()


_REFUSAL = _format_refusal()
