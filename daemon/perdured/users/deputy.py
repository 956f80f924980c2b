"""The deputy's side: its clients are handed to it, and it ends when root's daemon says so, or is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Any

from perdured.core.queue.shares import Stand
from perdured.errors import PerdureError
from perdured.notices.listening import Audience

from . import words
from .door import Arrivals
from .inside import Inside
from .notices import LOOK_EVERY, RelayedNotices
from .shares import describe_stand, parse_share

BEGIN_CEILING = 30.0
SAY_AGAIN = 0.2


class NoDeputy(PerdureError):
    """Nobody has made this process one."""


class Post:
    """A deputy's, towards root's daemon, which is at the other end of descriptor 0."""

    def __init__(self, channel: socket.socket, arrivals: Arrivals) -> None:
        self._channel = channel
        self.source = arrivals
        self._ended = asyncio.Event()
        self._warned = asyncio.Event()
        self._stand: Mapping[str, object] | None = None
        """What could not be said yet."""
        self.why_to_park: str | None = None
        """Set when the jobs are to save before the end."""

    async def run(self, inside: Inside) -> None:
        """Returns when it is to end."""
        loop = asyncio.get_running_loop()
        self._channel.setblocking(False)
        loop.add_reader(self._channel.fileno(), self._hear, inside)
        words.say(self._channel, words.READY)
        inside.sharing.begin(self._tell_stand)
        telling = asyncio.create_task(self._tell_safety(inside.audience), name="safety")
        try:
            await self._ended.wait()
        finally:
            telling.cancel()
            loop.remove_reader(self._channel.fileno())

    def widen(self, audience: Audience) -> Audience:
        return audience

    async def end(self, why: str | None) -> None:
        """There is nobody to tell."""

    def close(self) -> None:
        self._channel.close()

    def _tell_stand(self, stand: Stand, seen: int) -> None:
        """Again and again where root's daemon is too busy to hear it. Of words on how things stand the last counts."""
        self._stand = describe_stand(stand, seen)
        self._say_stand()

    def _say_stand(self) -> None:
        if self._stand is not None and words.say(self._channel, words.STAND, self._stand):
            self._stand = None
        elif self._stand is not None and not self._ended.is_set():
            asyncio.get_running_loop().call_later(SAY_AGAIN, self._say_stand)

    async def _tell_safety(self, audience: Audience) -> None:
        told = True
        while True:
            await self._warned.wait()
            is_safe = audience.is_safe()
            if is_safe != told and words.say(self._channel, words.SAFE, {"is_safe": is_safe}):
                told = is_safe
            await asyncio.sleep(LOOK_EVERY)

    def _hear_of_notices(self, inside: Inside, message: Mapping[str, Any]) -> None:
        if isinstance(inside.listening, RelayedNotices):
            (self._warned.set if inside.listening.take(message) else self._warned.clear)()

    def _hear(self, inside: Inside) -> None:
        with contextlib.suppress(BlockingIOError):
            message, descriptor = words.hear_with_descriptor(self._channel)
            if message is None:
                self._ended.set()
            elif message["type"] == words.CONNECTED and descriptor is not None:
                self._take(socket.socket(fileno=descriptor))
            elif message["type"] == words.GRANTED:
                inside.sharing.take(parse_share(message))
            elif message["type"] == words.ALL:
                inside.sharing.hear_that_it_is_all()
            elif message["type"] == words.NOTICES:
                self._hear_of_notices(inside, message)
            elif message["type"] == words.END:
                self.why_to_park = message.get("park")
                self._ended.set()

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            self.source.put_nowait(connection)
        except asyncio.QueueFull:
            connection.close()


def take_channel() -> socket.socket:
    """Raises NoDeputy where descriptor 0 is none."""
    channel = _find_channel()
    if channel is None:
        why = "A deputy is started by the daemon of root, for another user, and by nobody else."
        raise NoDeputy("This is no deputy.", why, "Start a daemon of your own with `perdured &`.")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return channel


def _find_channel() -> socket.socket | None:
    try:
        channel = socket.socket(fileno=os.dup(0))
    except OSError:
        return None
    return channel if (channel.family, channel.type) == (socket.AF_UNIX, socket.SOCK_SEQPACKET) else None


def receive_settings(channel: socket.socket) -> Mapping[str, Any]:
    """The first word. Raises NoDeputy."""
    channel.settimeout(BEGIN_CEILING)
    with contextlib.suppress(OSError, ValueError):
        message = words.hear(channel)
        if message is not None and message["type"] == words.BEGIN:
            return message
    raise NoDeputy("This deputy was told nothing.", "The daemon of root has gone.", "It will start another.")
