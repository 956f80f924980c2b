"""The server itself: HTTP on one port of the loopback, a thread a connection, and the manners between.

| manner | what a client meets |
|---|---|
| `status` | this status in place of an answer |
| `delay` | the answer comes so many seconds late |
| `silent` | the request is read and never answered: what a hop limit of one does to the token |
| `reset` | the connection is reset |
| `drop` | it is closed without a byte, also while a request hangs |
| `slow_body` | the body comes a byte at a time, with so many seconds between |
| `garbage` | this text in place of HTTP |
| `redirect` | a redirect to there |
| `connections` | more connections at a time than this are reset |
| `only`, `times` | which requests (a part of the path), and how many of them |
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from .aws import answer_aws
from .azure import answer_azure
from .gcp import answer_gcp
from .termination import answer_alibaba, answer_tencent, find_maker
from .world import Asked, Reply, World

_CLOUDS: Mapping[str, Callable[[World, Asked], Reply]] = {
    "/computeMetadata/": answer_gcp,
    "/metadata/": answer_azure,
}
_OWN = "/_fake/"
"""Not of any cloud: `GET /_fake/asked` tells what was asked, `POST /_fake/change` takes a step."""


class FakeMetadata:
    """Serves between the beginning and the end of a `with`."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.world = World()
        self._server = _Server((host, port), self.world)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    @property
    def asked(self) -> list[Asked]:
        """All requests so far, in the order in which they came."""
        with self.world.changed:
            return list(self.world.asked)

    @property
    def approved(self) -> list[str]:
        """Ids of Azure's events that were approved."""
        with self.world.changed:
            return list(self.world.approved)

    def change(self, change: Mapping[str, Mapping[str, Any] | None]) -> None:
        """As a step of a script does. Raises BadScript."""
        self.world.change(change)

    def __enter__(self) -> FakeMetadata:  # noqa: PYI034 - Self came with Python 3.11
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.world.changed:
            self.world.closing = True
            self.world.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], world: World) -> None:
        super().__init__(address, _Handler)
        self.world = world
        self.open = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        with self.server.world.changed:
            self.server.open += 1

    def finish(self) -> None:
        with self.server.world.changed:
            self.server.open -= 1
        super().finish()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, self.rfile.read(length))
        if asked.path.startswith(_OWN):
            self._send(self._answer_own(asked), {})
            return
        world = self.server.world
        with world.changed:
            world.asked.append(asked)
        faults = world.take_fault(f"{asked.method} {asked.path}")
        time.sleep(float(faults.get("delay", 0)))
        if not self._misbehave(faults):
            reply = self._answer(asked)
            if world.get("manners", "drop"):  # since then, while it hung
                self.close_connection = True
            else:
                self._send(reply, faults)

    def _answer(self, asked: Asked) -> Reply:
        for start, answer in _CLOUDS.items():
            if asked.path.startswith(start):
                return answer(self.server.world, asked)
        maker = find_maker(self.server.world, asked)
        answer = answer_aws if maker is None else answer_alibaba if maker == "alibaba" else answer_tencent
        return answer(self.server.world, asked)

    def _answer_own(self, asked: Asked) -> Reply:
        world = self.server.world
        if asked.path == "/_fake/change" and asked.method == "POST":
            try:
                world.change(json.loads(asked.body))
            except (ValueError, AttributeError) as error:
                return Reply(400, f"{error}\n")
            return Reply(200)
        with world.changed:
            return Reply(200, json.dumps([{"method": each.method, "path": each.path} for each in world.asked]))

    def _misbehave(self, faults: Mapping[str, Any]) -> bool:
        """Whether there is no answer but this."""
        if "connections" in faults and self.server.open > faults["connections"]:
            faults = {"reset": True}
        if faults.get("silent"):
            self._wait_for_the_client()
        elif faults.get("reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())
        elif "garbage" in faults:
            self.wfile.write(str(faults["garbage"]).encode())
        elif "status" in faults:
            self._send(Reply(int(faults["status"]), "as the script wants\n"), {})
        elif "redirect" in faults:
            self._send(Reply(302, "", {"Location": str(faults["redirect"])}), {})
        elif not faults.get("drop"):
            return False
        self.close_connection = True
        return True

    def _wait_for_the_client(self) -> None:
        """Until it gives up."""
        self.connection.settimeout(0.1)
        while not self.server.world.closing:
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return

    def _send(self, reply: Reply, faults: Mapping[str, Any]) -> None:
        body = reply.body.encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.type, "Content-Length": str(len(body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        pause = float(faults.get("slow_body", 0))
        for at in range(len(body)) if pause else ():
            self.wfile.write(body[at : at + 1])
            self.wfile.flush()
            time.sleep(pause)
        if not pause:
            self.wfile.write(body)
