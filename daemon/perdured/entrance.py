"""How a daemon gets its clients: from a socket of its own, at the door of the machine, or handed to it as a deputy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from .api.listening import close_listening, observe_socket_file, open_listening
from .config import Config
from .errors import PerdureError
from .notices.listening import Audience
from .notify import notify_stopping
from .users import words
from .users.deputies import Deputies
from .users.deputy import Post
from .users.door import Arrivals, Door
from .users.homes import list_homes, open_homes
from .users.inside import Inside
from .users.notices import Everybody, describe_reports
from .users.settings import describe_settings
from .users.shares import MachineShares, Tell

BACKLOG = 64
"""Connections that are ours and wait for the server, while it is imported."""
EXTEND_EVERY = 10.0
"""Seconds between two words to systemd that the deputies are still parting."""


class Entrance(Protocol):
    @property
    def source(self) -> socket.socket | Arrivals:
        """Whence the server takes its connections."""

    @property
    def why_to_park(self) -> str | None:
        """Once `run` has returned: why the jobs are to save before the end."""

    async def run(self, inside: Inside) -> None:
        """Until cancelled, or for a deputy until it is to end."""

    def widen(self, audience: Audience) -> Audience:
        """Who is to be told of notices, besides our own jobs."""

    async def end(self, why: str | None) -> None:
        """Whoever else serves here ends too; with `why` their jobs save first."""

    def close(self) -> None: ...


def open_entrance(config: Config, channel: socket.socket | None) -> Entrance:
    """`channel`: a deputy's. Raises PerdureError."""
    if channel is not None:
        return Post(channel, asyncio.Queue(BACKLOG))
    return MachineDoor(config) if config.serves_all else OwnSocket(config.socket)


class OwnSocket:
    why_to_park: str | None = None

    def __init__(self, path: Path, *, is_for_all: bool = False) -> None:
        self._path = path
        self.source: socket.socket | Arrivals = open_listening(path, is_for_all=is_for_all)
        self.listening = self.source
        self._file = observe_socket_file(path)

    async def run(self, inside: Inside) -> None:  # noqa: ARG002 - all of the machine is ours
        await asyncio.Event().wait()

    def widen(self, audience: Audience) -> Audience:
        return audience

    async def end(self, why: str | None) -> None:  # noqa: ARG002 - nobody else serves here
        return

    def close(self) -> None:
        close_listening(self.listening, self._path, self._file)


class MachineDoor(OwnSocket):
    def __init__(self, config: Config) -> None:
        super().__init__(config.socket, is_for_all=True)
        try:
            homes = open_homes(config.state_dir)
        except OSError as error:
            self.close()
            what = f"The directories for the users' jobs cannot be made in {config.state_dir}."
            todo = "Mend that, or start it for root alone: --run-as daemon."
            raise PerdureError(what, f"{error.strerror}.", todo) from error
        self.source = asyncio.Queue(BACKLOG)
        self._homes = homes
        self._deputies = Deputies(homes, describe_settings(config), self._hear)
        self._door = Door(self.listening, self._deputies, self.source)
        self._tells: dict[int, Tell] = {}
        """How each deputy that is up is told."""
        self._inside: Inside | None = None
        self._shares: MachineShares | None = None
        self._everybody: Everybody | None = None

    async def run(self, inside: Inside) -> None:
        self._inside = inside
        if known := list(list_homes(self._homes)):
            self._begin_to_share(known)
        beginning = asyncio.create_task(self._deputies.begin(), name="deputies")
        try:
            await self._door.run()
        finally:
            if self._shares is not None:
                self._shares.close()
            beginning.cancel()
            await asyncio.gather(beginning, return_exceptions=True)

    def widen(self, audience: Audience) -> Audience:
        self._everybody = Everybody(audience, self._relay_notices)
        return self._everybody

    def _begin_to_share(self, known: Collection[int]) -> MachineShares:
        """Not before there is another user: a machine of root alone needs no grants."""
        assert self._inside is not None
        self._shares = MachineShares(self._inside.sharing, known)
        self._shares.begin()
        return self._shares

    def _relay_notices(self) -> None:
        if self._inside is not None and self._tells:
            reports = describe_reports(self._inside.listening.board.list_reports())
            for tell in list(self._tells.values()):
                tell(words.NOTICES, reports)

    def _hear(self, uid: int, message: Mapping[str, Any] | None, tell: Tell | None) -> None:
        shares = self._shares or self._begin_to_share([])
        if message is None or tell is None:
            self._tells.pop(uid, None)
            self._hear_safety(uid, is_safe=True)
            shares.leave(uid)
        elif message["type"] == words.READY:
            self._tells[uid] = tell
            shares.join(uid, tell)
            assert self._inside is not None
            tell(words.NOTICES, describe_reports(self._inside.listening.board.list_reports()))
        elif message["type"] == words.STAND:
            shares.hear(uid, message)
        elif message["type"] == words.SAFE:
            self._hear_safety(uid, is_safe=message["is_safe"] is True)

    def _hear_safety(self, uid: int, *, is_safe: bool) -> None:
        if self._everybody is not None:
            self._everybody.hear(uid, is_safe=is_safe)

    async def end(self, why: str | None) -> None:
        ending = asyncio.ensure_future(self._deputies.end(why))
        while not (await asyncio.wait({ending}, timeout=EXTEND_EVERY))[0]:
            notify_stopping("waiting for the jobs of all users to save", within=6 * EXTEND_EVERY)
        with contextlib.suppress(asyncio.CancelledError):
            ending.result()
