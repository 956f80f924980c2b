"""The server on a real socket: waiting, ending, and who may connect."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import pytest

from perdured.api import server
from perdured.api.listening import close_listening, observe_socket_file, open_listening
from perdured.api.peers import Peer, is_trusted, observe_peer
from perdured.client import Client
from perdured.contract.sockets import connect_unix
from perdured.core.events import Event
from perdured.errors import AlreadyServed, NoDaemon, PerdureError
from support.fake_service import FakeService, Served, make_job, serving
from support.strangers import hear_as_stranger

CEILING = 20.0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(FakeService((make_job("aaaa"), make_job("bbbb", "other"))), tmp_path / "s") as served:
        yield served


def test_a_long_poll_is_answered_by_the_event_it_waits_for(served: Served) -> None:
    client = Client(served.socket_path)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.list_events, 0, "aaaa", wait=30)
        _wait_until_polling(served)
        served.call(lambda service: service.tell("bbbb", Event(kind="asked", text="of another job")))
        served.call(lambda service: service.tell("aaaa", Event(kind="started", text="attempt 1 is running")))
        events = answer.result(timeout=10)
    assert [event["text"] for event in events["events"]] == ["attempt 1 is running"]
    assert events["next"] == 2


def test_a_long_poll_ends_empty_when_its_time_is_over_past_the_events_of_other_jobs(served: Served) -> None:
    served.call(lambda service: service.tell("bbbb", Event(kind="asked", text="of another job")))
    events = Client(served.socket_path).list_events(0, "aaaa", wait=0.05)
    assert events["events"] == []
    assert events["next"] == 1


def test_ending_the_server_answers_long_polls_at_once_and_leaves_nobody_listening(served: Served) -> None:
    client = Client(served.socket_path)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(client.list_events, 0, wait=60)
        _wait_until_polling(served)
        served.close()
        assert answer.result(timeout=10)["events"] == []
    with pytest.raises(NoDaemon, match="nobody listens"):
        client.health()


def test_an_idle_connection_does_not_hold_up_the_end(served: Served) -> None:
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(str(served.socket_path))
        Client(served.socket_path).health()
        served.close()


def test_the_servers_library_leaves_the_daemons_signals_alone(tmp_path: Path) -> None:
    """In a process of its own, since only a main thread could lose its handlers."""
    script = """
import asyncio, signal, sys
from pathlib import Path
from support.fake_service import FakeBoard, FakeService
from support.strangers import hear_as_stranger
from perdured.api.server import serve
from perdured.client import Client
from perdured.contract.sockets import connect_unix
from perdured.contract.sockets import bind_unix

async def main():
    path = Path(sys.argv[1])
    signal.signal(signal.SIGTERM, own)
    serving = asyncio.ensure_future(serve(FakeService(), FakeBoard(), bind_unix(path)))
    await asyncio.to_thread(Client(path).health)
    print(signal.getsignal(signal.SIGTERM) is own, signal.getsignal(signal.SIGINT) is not None)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

def own(*_): pass

asyncio.run(main())
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    said = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "s")],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert said.stdout == "True True\n", said.stderr
    assert said.stderr == ""


def test_the_socket_is_its_owners_alone_and_so_is_a_directory_made_for_it(tmp_path: Path) -> None:
    path = tmp_path / "made" / "s"
    with open_listening(path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_served_socket_is_refused_with_the_name_of_who_serves_it(served: Served) -> None:
    with pytest.raises(AlreadyServed) as caught:
        open_listening(served.socket_path)
    assert f"Process {os.getpid()} (" in caught.value.why
    assert "--socket" in caught.value.todo
    assert Client(served.socket_path).health()["pid"] == os.getpid()


def test_of_two_daemons_that_come_at_once_one_gets_a_stale_socket(tmp_path: Path) -> None:
    """With state directories of their own nothing else keeps them apart: what is bound and not listened on yet looks
    stale. Here the first of them is still at it, and the second waits."""
    path = tmp_path / "perdured.sock"
    open_listening(path).close()
    stale = observe_socket_file(path)
    first = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)
    with ThreadPoolExecutor(1) as second:
        answer = second.submit(open_listening, path)
        assert not wait([answer], timeout=0.2).done
        assert observe_socket_file(path) == stale
        os.close(first)
        answer.result().close()


def test_a_socket_that_nobody_serves_any_more_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    open_listening(path).close()
    assert path.exists()
    with open_listening(path) as listening, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert observe_peer(client).pid == os.getpid()
        assert listening.getsockname()


def test_a_place_where_no_socket_can_be_says_why_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PerdureError, match="Cannot listen on") as caught:
        open_listening(tmp_path / "file" / "s")
    assert "--socket" in caught.value.todo


def test_a_file_in_the_sockets_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(PerdureError, match="no socket"):
        open_listening(path)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(("uid", "trusted"), [(1000, True), (0, True), (1001, False)])
def test_only_the_own_user_and_root_are_trusted(uid: int, trusted: bool) -> None:
    assert is_trusted(Peer(pid=1, uid=uid, gid=0), own_uid=1000) is trusted


@pytest.mark.root
def test_another_user_is_refused_even_where_the_modes_would_let_it_in(tmp_path: Path) -> None:
    """The directory and the socket opened up by hand: the kernel's word about the peer still keeps it out."""
    with serving(FakeService(), tmp_path / "s") as served:
        said = hear_as_stranger(served.socket_path)
    assert b"403 Forbidden" in said
    assert b"serves another user" in said


def _wait_until_polling(served: Served) -> None:
    """Until somebody waits for a change."""
    deadline = time.monotonic() + 10
    while not served.call(lambda service: service.waiting):
        assert time.monotonic() < deadline, "no long poll arrived"
        time.sleep(0.01)


def test_requests_are_served_while_a_long_poll_waits(served: Served) -> None:
    client = Client(served.socket_path)
    with ThreadPoolExecutor() as pool:
        pool.submit(client.list_events, 0, wait=30)
        _wait_until_polling(served)
        assert client.show("aaaa")["id"] == "aaaa"
        served.close()


def test_a_client_that_says_nothing_is_let_go_and_one_that_waits_for_an_answer_is_not(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,200 silent connections once took every descriptor of the daemon."""
    monkeypatch.setattr(server, "SILENT", 0.05)
    with ThreadPoolExecutor(1) as pool:
        polled = pool.submit(Client(served.socket_path).list_events, 0, wait=CEILING / 2)
        _wait_until_polling(served)
        for said in (b"", b"GET /v1/hea", b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"):
            with connect_unix(served.socket_path, CEILING) as silent:
                silent.sendall(said)
                assert silent.recv(1) == b""
        assert not polled.done()
        served.call(lambda service: service.tell("k7mq2xwp", Event(kind="note", text="x")))
        polled.result(CEILING)


def test_more_connections_than_may_be_are_told_so_and_those_before_them_served(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "most_connections", lambda: 2)
    with ExitStack() as open_ones:
        first, second, third = (open_ones.enter_context(connect_unix(served.socket_path, CEILING)) for _ in range(3))
        assert b"503 Service Unavailable" in third.recv(4096)
        for each in (first, second):
            each.sendall(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert b"200 OK" in each.recv(4096)


def test_a_socket_that_another_put_in_its_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for is_replaced in (False, True):
        listener = open_listening(path)
        own = observe_socket_file(path)
        if is_replaced:
            path.rename(tmp_path / "old")
            path.touch()
        close_listening(listener, path, own)
        assert path.exists() == is_replaced
