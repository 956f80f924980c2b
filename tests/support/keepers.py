"""A keeper that only listens: what a job tells it, and a word to the job."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from perdured.contract.sockets import bind_unix

_CEILING = 10.0


class Listener:
    """Collects the messages of every job that connects."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[dict[str, Any]] = []
        self.gone = 0
        """Jobs that have hung up."""
        self._server = bind_unix(path)
        self._jobs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                job, _ = self._server.accept()
            except OSError:
                return
            self._jobs.append(job)
            threading.Thread(target=self._listen, args=(job,), daemon=True).start()

    def _listen(self, job: socket.socket) -> None:
        with job.makefile() as lines, suppress(ConnectionResetError):
            for line in lines:
                self.messages.append(json.loads(line))
        self.gone += 1

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def wait_for(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        deadline = time.monotonic() + _CEILING
        while len(self.of_type(kind)) < count:
            assert time.monotonic() < deadline, f"only heard {self.messages}"
            time.sleep(0.002)
        return self.of_type(kind)

    def say(self, data: bytes) -> None:
        self.wait_for("hello")
        for job in self._jobs:
            job.sendall(data)

    def die(self) -> None:
        self._server.close()
        for job in self._jobs:
            job.shutdown(socket.SHUT_RDWR)
            job.close()
        self._jobs.clear()


@contextmanager
def listening(path: Path) -> Iterator[Listener]:
    listener = Listener(path)
    try:
        yield listener
    finally:
        listener.die()
