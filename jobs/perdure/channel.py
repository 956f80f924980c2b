"""The line to the keeper. Training never waits for it, and never fails because of it.

What cannot be sent at once is kept for the next time, up to a limit; progress is dropped instead, as newer progress
follows. After the first error the channel is silent for good: a keeper that is gone does not come back.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import time
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from perdured.contract import environment, messages
from perdured.contract.sockets import connect_unix

_CONNECT_SECONDS = 2.0
_MAX_WAITING = 1 << 20

Message = Mapping[str, object]


class ParkWish(NamedTuple):
    """The machine is about to be taken away: save by the `deadline`, on `read_clock`, and stand still."""

    deadline: float | None = None


class SaveWish(NamedTuple):
    """A checkpoint is wanted; with a `deadline`, on `read_clock`, only if it is durable by then."""

    deadline: float | None = None

    def join(self, other: SaveWish) -> SaveWish:
        """One checkpoint for both: whoever sets no deadline wants it in any case."""
        if self.deadline is None or other.deadline is None:
            return SaveWish()
        return SaveWish(min(self.deadline, other.deadline))


def read_clock() -> float:
    """Seconds since boot, as the keeper counts them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Channel:
    """Sends to a keeper and remembers what it asked for. Without a keeper it does nothing."""

    def __init__(self, path: str | None) -> None:
        self._socket: socket.socket | None = None
        self._owner = os.getpid()
        self._unsent = bytearray()
        self._unread = bytearray()
        self._wish: SaveWish | None = None
        self._park_wish: ParkWish | None = None
        self._answers: list[dict[str, object]] = []
        if path:
            self._connect(path)

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def _connect(self, path: str) -> None:
        try:
            self._socket = connect_unix(path, _CONNECT_SECONDS)
            self._socket.setblocking(False)
        except OSError:
            self.close()
        self.send({"type": messages.HELLO, "role": messages.ROLE_JOB, "version": messages.VERSION})

    def send(self, message: Message) -> None:
        if self._socket is None or (self._unsent and message["type"] == messages.PROGRESS):
            self._flush()
            return
        self._unsent += _format(message)
        if len(self._unsent) > _MAX_WAITING:
            self.close()
        self._flush()

    def send_descriptor(self, message: Message, descriptor: int) -> None:
        """With a descriptor, which the keeper then has as well. Waits, if it must, for what was said before."""
        if self._socket is None:
            return
        text, self._unsent = self._unsent + _format(message), bytearray()
        self._socket.settimeout(_CONNECT_SECONDS)
        try:
            sent = socket.send_fds(self._socket, [text], [descriptor])
            self._socket.sendall(text[sent:])
            self._socket.setblocking(False)
        except OSError:
            self.close()

    def take_answers(self) -> list[dict[str, object]]:
        """What the keeper has said about the memory tier since the last call."""
        self._flush()
        self._receive()
        answers, self._answers = self._answers, []
        return answers

    @property
    def park_wish(self) -> ParkWish | None:
        """Whether the keeper wants the run to stand still, as far as it was heard; it holds until it is taken back."""
        return self._park_wish if self._socket is not None else None

    def wait(self) -> None:
        """Until the keeper says something, or has gone; signals interrupt it."""
        self._flush()
        if not self._answers:
            self._sleep(None)

    def listen(self, ceiling: float) -> None:
        """Until the keeper says something more, or has gone, or so many seconds are over; then takes note of it."""
        self._flush()
        self._sleep(ceiling)
        self._receive()

    def _sleep(self, ceiling: float | None) -> None:
        if self._socket is not None:
            select.select([self._socket], [self._socket] if self._unsent else [], [], ceiling)

    def take_save_wish(self) -> SaveWish | None:
        """Whether, and until when, the keeper has asked for a checkpoint since the last call."""
        self._flush()
        self._receive()
        wish, self._wish = self._wish, None
        return wish

    def close(self) -> None:
        """Also for the copies that data workers were forked with: else the keeper would go on waiting for a step."""
        if self._socket is not None:
            if os.getpid() == self._owner:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        self._socket = None
        self._unsent.clear()

    def _flush(self) -> None:
        if self._socket is None or not self._unsent:
            return
        try:
            sent = self._socket.send(self._unsent)
            del self._unsent[:sent]
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def _receive(self) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.close()
                return
            self._unread += data
            *lines, rest = self._unread.split(b"\n")
            self._unread = bytearray(rest[-messages.MAX_LINE :])
            for line in lines:
                self._obey(bytes(line))

    def _obey(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if not isinstance(message, dict):
            return
        if message.get("type") == messages.SAVE:
            deadline = message.get("deadline")
            wish = SaveWish(deadline if isinstance(deadline, float) else None)
            self._wish = wish if self._wish is None else self._wish.join(wish)
        elif message.get("type") == messages.HANG:
            _stand_still()
        elif message.get("type") == messages.PARK:
            deadline = message.get("deadline")
            self._park_wish = ParkWish(deadline if isinstance(deadline, float) else None)
        elif message.get("type") == messages.GO_ON:
            self._park_wish = None
        elif message.get("type") in messages.ABOUT_MEMORY:
            self._answers.append(message)


def _stand_still() -> NoReturn:
    """A fire drill (`perdure drill JOB hang`): nothing ends it but the kill that Perdure owes a hang."""
    while True:
        time.sleep(3600)


def _format(message: Message) -> bytes:
    return json.dumps(message).encode("ascii") + b"\n"


def open_channel() -> Channel:
    """The channel to the keeper that started this process, if one did."""
    return Channel(os.environ.get(environment.CHANNEL))
