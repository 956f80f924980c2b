"""Unix sockets at paths of any length, private from their first moment."""

from __future__ import annotations

import os
import socket
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from perdured.contract.sockets import BACKLOG, bind_unix, connect_unix


def _echo_once(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(connection.recv(100))


@pytest.mark.parametrize("depth", [1, 30])
def test_a_socket_is_reached_however_long_its_path(tmp_path: Path, depth: int) -> None:
    directory = tmp_path.joinpath(*["deeper-and-deeper"] * depth)
    directory.mkdir(parents=True)
    path = directory / "s.sock"
    assert depth == 1 or len(os.fsencode(path)) > 400
    with closing(bind_unix(path)) as listener:
        thread = threading.Thread(target=_echo_once, args=[listener])
        thread.start()
        with closing(connect_unix(path, 10)) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
        thread.join()


def test_a_relative_path_is_seen_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(bind_unix("s")), closing(connect_unix("s", 10)):
        assert Path("s").is_socket()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_socket_is_its_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        listener = bind_unix(tmp_path / "s")
    finally:
        os.umask(before)
    with closing(listener):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    bind_unix(tmp_path / "s").close()
    assert (tmp_path / "s").is_socket()
    with closing(bind_unix(tmp_path / "s")), closing(connect_unix(tmp_path / "s", 10)):
        pass


def test_a_socket_that_somebody_answers_on_is_left_alone(tmp_path: Path) -> None:
    with closing(bind_unix(tmp_path / "s")):
        with pytest.raises(OSError, match="in use"):
            bind_unix(tmp_path / "s")
        with closing(connect_unix(tmp_path / "s", 10)):
            pass


def test_one_that_is_too_busy_to_answer_is_not_stale(tmp_path: Path) -> None:
    with closing(bind_unix(tmp_path / "s")):
        crowd = [connect_unix(tmp_path / "s", 0) for _ in range(BACKLOG + 1)]
        with pytest.raises(BlockingIOError):
            connect_unix(tmp_path / "s", 0)
        with pytest.raises(OSError, match="in use"):
            bind_unix(tmp_path / "s")
    for client in crowd:
        client.close()


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_what_is_no_socket_is_never_removed(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "s")
    with pytest.raises(OSError, match="in use"):
        bind_unix(tmp_path / "s")
    assert (tmp_path / "s").exists()


def test_a_link_to_a_socket_is_not_followed(tmp_path: Path) -> None:
    bind_unix(tmp_path / "target").close()
    (tmp_path / "s").symlink_to("target")
    with pytest.raises(OSError, match="in use"):
        bind_unix(tmp_path / "s")
    assert (tmp_path / "target").is_socket()


def test_nothing_to_connect_to_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect_unix(tmp_path / "s", 1)
    with pytest.raises(FileNotFoundError):
        connect_unix(tmp_path / "no-directory" / "s", 1)
    bind_unix(tmp_path / "s").close()
    with pytest.raises(ConnectionRefusedError):
        connect_unix(tmp_path / "s", 1)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    bind_unix(tmp_path / "s").close()
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            connect_unix(tmp_path / "s", 1)
    bind_unix(tmp_path / "s").close()
    assert len(os.listdir("/proc/self/fd")) == before
