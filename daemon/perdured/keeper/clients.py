"""Everybody who is connected to the keeper: processes of the job, and daemons.

Nobody can hold the keeper up. Sockets never block; what is read of one client is bounded by one line, and what waits to
be written to one by one message of each kind: a status that could not be sent yet is overtaken by the next. Progress
alone is told a few times a second, all else at once.

Nor can a crowd keep a daemon out. Everybody is let in; beyond MAX_CLIENTS the one that has been silent longest has to
go, and where nobody is silent, the next process of the job that introduces itself. Known limit: a job that passes
itself off as many daemons makes its real one connect again and again.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Protocol

from perdured.contract import messages

from . import talk
from .client import Client, read_peer
from .log import log, log_failure
from .loop import READ, WRITE, Loop, read_clock

MAX_CLIENTS = 512
"""A daemon beyond that is heard all the same."""
MAX_DAEMONS = 16
PUSH_INTERVAL = 0.2
"""Seconds between two statuses in which only progress has changed."""
ACCEPT_PAUSE = 1.0
_READ_SIZE = 64 * 1024
_MOST_READS = 64
"""More than a socket's buffer holds; a client that goes on talking does not hold up the end of the attempt."""


class Audience(Protocol):
    """What the keeper does with what it hears. Each may raise ValueError, which costs the client its connection."""

    nonce: str

    def hear_job(self, message: dict[str, object], client: int) -> None: ...
    def hear_daemon(self, message: dict[str, object]) -> None: ...
    def lose_job(self, client: int) -> None: ...
    def describe(self) -> bytes: ...


class Clients:
    def __init__(self, loop: Loop, listener: socket.socket, audience: Audience) -> None:
        self._loop = loop
        self._listener = listener
        self._audience = audience
        self._clients: dict[int, Client] = {}
        self._epoch = 0
        self._owed_save: dict[str, object] | None = None
        self._standing_order: dict[str, object] | None = None
        self._pushed_at = 0.0
        listener.setblocking(False)
        loop.watch(listener.fileno(), READ, self._accept_all)

    def push_status(self, *, at_once: bool) -> None:
        """Tells every daemon the whole status: now, or soon when it is only progress."""
        due = self._pushed_at + PUSH_INTERVAL
        if at_once or read_clock() >= due:
            self._push()
        elif not self._loop.is_waiting("push"):
            self._loop.call_at("push", due, self._push)

    def pass_on(self, order: dict[str, object]) -> None:
        """What a daemon asks of the job. Raises ValueError."""
        deadline = talk.parse_deadline(order, read_clock())
        match order["type"]:
            case messages.SAVE:
                self._ask_save(deadline)
            case messages.PARK:
                self._park(deadline)
            case messages.GO_ON:
                self._go_on()
        self.push_status(at_once=True)

    def _ask_save(self, deadline: float | None) -> None:
        """Asks the job for a checkpoint; when none of its processes is connected, the first that comes."""
        jobs = [client for client in self._clients.values() if _has_role(client, messages.ROLE_JOB)]
        self._owed_save = None if jobs else talk.make_order(messages.SAVE, deadline)
        for client in jobs:
            client.save = talk.make_order(messages.SAVE, deadline)
            self._guard(client, self._write)

    def _park(self, deadline: float | None) -> None:
        """Asks the job to save and to stand still: whoever is connected, and whoever comes, until it may go on."""
        self._standing_order = talk.make_order(messages.PARK, deadline)
        self._tell_jobs(self._standing_order)

    def _go_on(self) -> None:
        self._standing_order = None
        self._tell_jobs(talk.make_order(messages.GO_ON, None))

    @property
    def is_asked_to_park(self) -> bool:
        return self._standing_order is not None

    def _tell_jobs(self, order: dict[str, object]) -> None:
        for client in [client for client in self._clients.values() if _has_role(client, messages.ROLE_JOB)]:
            client.order = order
            self._guard(client, self._write)

    def tell(self, client: int, message: dict[str, object]) -> None:
        """To one that may have gone meanwhile."""
        listener = self._clients.get(client)
        if listener is not None:
            listener.outgoing += talk.format_message(message)
            self._guard(listener, self._write)

    def take_descriptor(self, client: int) -> int:
        """What came with the client's message. ValueError if nothing did."""
        return self._clients[client].take_descriptor()

    def find_pid(self, client: int) -> int | None:
        """Of the process at the other end."""
        listener = self._clients.get(client)
        return read_peer(listener.connection).pid if listener is not None else None

    def close(self) -> None:
        for client in list(self._clients.values()):
            self._drop(client)
        self._listener.close()

    def catch_up(self) -> None:
        """Hears all that has been said by now: the last word of a job that reports and ends at once must count."""
        self._accept_all()
        for client in list(self._clients.values()):
            self._guard(client, self._read_all)

    def _accept_all(self, _: int = READ) -> None:
        while self._accept():
            self._make_room()

    def _make_room(self) -> None:
        """The oldest of those that have not said who they are, unless its word has come by now."""
        silent = [client for client in self._clients.values() if client.hello is None]
        for client in silent[:-1]:
            if len(self._clients) <= MAX_CLIENTS:
                return
            self._guard(client, self._read_all)
            if client.hello is None:
                self._drop(client, "it said nothing, and others wait")

    def _accept(self) -> bool:
        """True when there may be another."""
        try:
            connection, _address = self._listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            # Out of descriptors, most likely. The listener stays readable: without a pause this would spin.
            log(f"cannot accept a client: {error}")
            self._pause()
            self._loop.call_at("accept", read_clock() + ACCEPT_PAUSE, self._resume)
            return False
        if read_peer(connection).uid != os.geteuid():
            connection.close()
            return True
        connection.setblocking(False)
        client = Client(connection)
        self._clients[client.fd] = client
        self._loop.watch(client.fd, READ, lambda events: self._guard(client, self._attend, events))
        return True

    def _pause(self) -> None:
        self._loop.rewatch(self._listener.fileno(), 0)

    def _resume(self) -> None:
        self._loop.rewatch(self._listener.fileno(), READ)

    def _guard(self, client: Client, act: Callable[..., None], *arguments: int) -> None:
        """What goes wrong with one client ends that client, and nothing else."""
        try:
            act(client, *arguments)
        except (OSError, ValueError) as error:
            self._drop(client, str(error))
        except Exception:  # noqa: BLE001 - a bug in serving one client must not cost the job its keeper
            log_failure("serving a client")
            self._drop(client)

    def _attend(self, client: Client, events: int) -> None:
        if events & WRITE:
            self._write(client)
        if events & ~WRITE:
            self._read(client)

    def _read_all(self, client: Client) -> None:
        for _ in range(_MOST_READS):
            if not self._read(client):
                return

    def _read(self, client: Client) -> bool:
        """True when there may be more."""
        try:
            data, descriptors, _, _ = socket.recv_fds(client.connection, _READ_SIZE, 1)
        except BlockingIOError:
            return False
        client.hold(descriptors)
        if not data:
            self._drop(client)
            return False
        client.incoming += data
        for line in client.take_lines():
            self._hear(client, talk.parse_line(line))
        return True

    def _hear(self, client: Client, message: dict[str, object]) -> None:
        if client.hello is None:
            self._welcome(client, talk.parse_hello(message, self._audience.nonce))
        elif client.hello.role == messages.ROLE_JOB:
            self._audience.hear_job(message, client.fd)
        elif client.hello.epoch >= self._epoch:
            self._audience.hear_daemon(message)

    def _welcome(self, client: Client, hello: talk.Hello) -> None:
        client.hello = hello
        introduced = sum(other.hello is not None for other in self._clients.values())
        if hello.role == messages.ROLE_JOB and introduced > MAX_CLIENTS:
            raise ValueError("too many processes of the job are connected")
        if hello.role == messages.ROLE_DAEMON:
            self._drop_daemons_beyond(MAX_DAEMONS)
            # From here on an older daemon, one that hung while another took over, can look but not act.
            self._epoch = max(self._epoch, hello.epoch)
            client.wants_status = True
        else:
            client.order = self._standing_order
            client.save, self._owed_save = self._owed_save, None
        self._write(client)

    def _drop_daemons_beyond(self, most: int) -> None:
        daemons = [client for client in self._clients.values() if _has_role(client, messages.ROLE_DAEMON)]
        for client in daemons[:-most]:
            self._drop(client, "too many daemons are connected")

    def _push(self) -> None:
        self._loop.cancel("push")
        self._pushed_at = read_clock()
        for client in list(self._clients.values()):
            if _has_role(client, messages.ROLE_DAEMON):
                client.wants_status = True
                self._guard(client, self._write)

    def _write(self, client: Client) -> None:
        """Sends what is due, as far as it goes without waiting."""
        if not client.outgoing:
            if client.wants_status:
                client.outgoing += self._audience.describe()
            if client.save is not None:
                client.outgoing += talk.format_message(client.save)
            if client.order is not None:
                client.outgoing += talk.format_message(client.order)
            client.wants_status, client.save, client.order = False, None, None
        try:
            sent = client.connection.send(client.outgoing) if client.outgoing else 0
        except BlockingIOError:
            sent = 0
        del client.outgoing[:sent]
        is_unfinished = bool(client.outgoing or client.wants_status or client.save or client.order)
        self._loop.rewatch(client.fd, READ | WRITE if is_unfinished else READ)

    def _drop(self, client: Client, why: str = "") -> None:
        if self._clients.pop(client.fd, None) is None:
            return
        if why:
            log(f"a client was dropped: {why}")
        self._loop.forget(client.fd)
        client.connection.close()
        client.drop_descriptor()
        if _has_role(client, messages.ROLE_JOB):
            self._audience.lose_job(client.fd)


def _has_role(client: Client, role: str) -> bool:
    return client.hello is not None and client.hello.role == role
