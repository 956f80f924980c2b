"""A D-Bus connection keeps what comes by itself, and says who hung up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from jeepney import DBusAddress, Message, Parser, new_error, new_method_call, new_method_return, new_signal

from perdured.contract.sockets import bind_unix
from perdured.dbus import CallRefused, Connection
from support.daemons import wait_for

WHERE = DBusAddress("/", bus_name="org.example", interface="org.example.Thing")
CALL = new_method_call(WHERE, "Ping")
HANDSHAKE = b"OK 00000000000000000000000000000000\r\nAGREE_UNIX_FD\r\n"
Answer = Callable[[Message], list[Message]]


class Peer:
    """Answers one connection. What it says at first comes with the end of its handshake."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first: list[Message] = []
        self.answer: Answer = lambda message: [new_method_return(message)]
        self.handshake = HANDSHAKE
        self._listener = bind_unix(path)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()
        self._thread.join(timeout=20)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, suppress(ConnectionError):  # it may be left with something unread
            told = b""
            while not told.endswith(b"BEGIN\r\n"):
                told += connection.recv(4096)
            connection.sendall(self.handshake + b"".join(each.serialise(serial=9) for each in self.first))
            parser = Parser()
            while data := connection.recv(4096):
                for message in parser.feed(data):
                    for each in self.answer(message):
                        connection.sendall(each.serialise(serial=10))


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    peer = Peer(tmp_path / "bus")
    yield peer
    with socket.socket(socket.AF_UNIX) as last:  # whoever never connected lets it go
        last.connect_ex(str(peer.path))
    peer.close()


def make_signal(number: int) -> Message:
    return new_signal(WHERE, "Said", "u", (number,))


def take(connection: Connection, count: int) -> list[object]:
    taken: list[object] = []

    def has_all() -> bool:
        taken.extend(message.body[0] for message in connection.take_messages())
        return len(taken) >= count

    wait_for(has_all, "what it says by itself")
    return taken


def test_what_comes_with_the_handshake_or_before_an_answer_is_kept(peer: Peer) -> None:
    peer.first = [make_signal(1)]
    peer.answer = lambda message: [make_signal(2), new_method_return(message, "s", ("pong",)), make_signal(3)]
    with closing(Connection(peer.path)) as connection:
        assert connection.call(CALL) == ("pong",)
        assert take(connection, 3) == [1, 2, 3]
        assert connection.take_messages() == []
        assert connection.call(CALL) == ("pong",)


def test_an_answer_to_an_earlier_call_is_none_to_this_one(peer: Peer) -> None:
    numbers = iter(range(1, 9))

    def answer(message: Message) -> list[Message]:
        late = new_method_return(message, "u", (0,))
        late.header.fields[5] = 77  # reply_serial
        return [late, new_method_return(message, "u", (next(numbers),))]

    peer.answer = answer
    with closing(Connection(peer.path)) as connection:
        assert [connection.call(CALL) for _ in range(3)] == [(1,), (2,), (3,)]


def test_a_refusal_has_its_name_and_its_words(peer: Peer) -> None:
    peer.answer = lambda message: [new_error(message, "org.example.No", "s", ("not for you",))]
    with closing(Connection(peer.path)) as connection, pytest.raises(CallRefused, match="not for you") as caught:
        connection.call(CALL)
    assert caught.value.name == "org.example.No"


def test_who_does_not_answer_in_time_is_given_up(peer: Peer) -> None:
    peer.answer = lambda _message: []
    with closing(Connection(peer.path, patience=0.05)) as connection, pytest.raises(TimeoutError):
        connection.call(CALL)


@pytest.mark.parametrize("handshake", [b"REJECTED EXTERNAL\r\n\r\n", b"OK 0\r\nERROR\r\n"])
def test_who_takes_no_descriptors_or_knows_us_not_is_no_peer(peer: Peer, handshake: bytes) -> None:
    peer.handshake = handshake
    with pytest.raises(ValueError, match="it answers"):
        Connection(peer.path)
