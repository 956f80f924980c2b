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
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from perdured.contract.sockets import BACKLOG
from perdured.descriptors import most_connections
from perdured.errors import PerdureError

from .app import make_app
from .peers import is_trusted_connection
from .replies import Failure, FailureReply
from .seam import Notices, Service

Arrivals = asyncio.Queue[socket.socket]
"""Connections that somebody else has accepted."""
SILENT = 10.0
"""Seconds that a client may be silent when it is its turn."""
CLOSE_WITHIN = 3
"""Seconds for answers under way; then their tasks are cancelled. Long polls are answered at once."""


async def serve(service: Service, notices: Notices, source: socket.socket | Arrivals) -> None:
    """Answers on a listening socket, which is closed at the end, or to whoever arrives, until cancelled; requests under
    way are answered first."""
    app = make_app(service, notices)
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
        # So many are accepted at one time, before the first of them can be refused for being too many.
        backlog=min(BACKLOG, max(most_connections() // 2, 1)),
    )
    listening, arrivals = ([source], None) if isinstance(source, socket.socket) else ([], source)
    server = _Server(config, arrivals)
    running = asyncio.ensure_future(server.serve(sockets=listening))
    try:
        await asyncio.shield(running)
    finally:
        app.state.closing.set()
        server.ending.set()
        await running


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, arrivals: Arrivals | None) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()
        self._arrivals = arrivals

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: the daemon handles its signals, and cancels us."""
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)
        taking = asyncio.create_task(self._take(self._arrivals)) if self._arrivals is not None else None
        await self.ending.wait()
        if taking is not None:
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    async def _take(self, arrivals: Arrivals) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection = await arrivals.get()
            try:
                await loop.connect_accepted_socket(self._make_protocol, connection)
            except OSError:
                connection.close()

    def _make_protocol(self) -> asyncio.Protocol:
        return _TrustedPeers(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


class _TrustedPeers(H11Protocol):
    """Of trusted users; not too many, and none that stays without asking anything. A long poll waits for us, not for
    its client, and may."""

    _heard_at = 0.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not is_trusted_connection(transport.get_extra_info("socket")):
            self._refuse(transport, _REFUSAL)
        elif len(self.connections) > most_connections():
            self._refuse(transport, _TOO_MANY)
        else:
            self._hear()
            self._look_again()

    def data_received(self, data: bytes) -> None:
        self._hear()
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _refuse(self, transport: asyncio.Transport, answer: bytes) -> None:
        transport.write(answer)
        transport.close()

    def _hear(self) -> None:
        self._heard_at = self.loop.time()

    def _look_again(self) -> None:
        """Closes the connection of a client that is silent although it is its turn."""
        cycle: RequestResponseCycle | None = self.cycle
        is_its_turn = cycle is None or cycle.response_complete or cycle.more_body
        if is_its_turn and self.loop.time() - self._heard_at >= SILENT:
            self.transport.close()
        else:
            self._timer = self.loop.call_later(SILENT, self._look_again)


def _format_answer(status: str, told: Failure) -> bytes:
    body = FailureReply(error=told).model_dump_json()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n{body}".encode()


_REFUSAL = _format_answer(
    "403 Forbidden",
    Failure(
        what="This daemon serves another user.",
        why="It talks to its own user and to root only.",
        todo="Start a daemon of your own with `perdured &`.",
        exit_status=PerdureError.exit_status,
    ),
)
_TOO_MANY = _format_answer(
    "503 Service Unavailable",
    Failure(
        what="The daemon has too many connections.",
        why="Each takes a file descriptor, and its jobs need some as well.",
        todo="End some of the programs that are connected to it, and try again.",
        exit_status=PerdureError.exit_status,
    ),
)
