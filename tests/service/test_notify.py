"""What the daemon says to systemd, heard on a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured import notify


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager's ear on a path socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        monkeypatch.chdir(tmp_path)  # a test directory may be longer than a socket address
        ear.bind("notify")
        ear.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "/proc/self/cwd/notify")
        yield ear


def test_ready_carries_the_status(manager: socket.socket) -> None:
    notify.notify_ready("3 jobs adopted")
    assert manager.recv(4096) == b"READY=1\nSTATUS=3 jobs adopted"


def test_a_ping_says_nothing_else(manager: socket.socket) -> None:
    notify.notify_watchdog()
    assert manager.recv(4096) == b"WATCHDOG=1"


def test_stopping_asks_for_the_time_that_the_jobs_need(manager: socket.socket) -> None:
    notify.notify_stopping("2 jobs are saving", within=90.5)
    assert manager.recv(4096) == b"STOPPING=1\nSTATUS=2 jobs are saving\nEXTEND_TIMEOUT_USEC=90500000"


def test_a_line_break_in_a_status_cannot_forge_a_message(manager: socket.socket) -> None:
    notify.notify_status("job a\nMAINPID=1")
    assert manager.recv(4096) == b"STATUS=job a MAINPID=1"


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"perdure-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + name)
        ear.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        notify.notify_watchdog()
        assert ear.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/", "@", "relative", "vsock:2:1234"])
def test_an_address_that_is_none_is_not_used(address: str) -> None:
    assert notify.parse_address(address) is None


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.notify_ready("up")
    assert not caplog.records


def test_a_manager_that_is_gone_is_logged_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify.notify_ready("up")
    assert "READY" in caplog.text


@pytest.mark.parametrize(
    ("microseconds", "watched", "expected"),
    [
        ("30000000", "77", 15.0),
        ("30000000", None, 15.0),
        ("30000000", "78", None),
        ("0", "77", None),
        ("soon", "77", None),
        (None, None, None),
    ],
)
def test_pings_come_twice_as_often_as_asked(
    microseconds: str | None, watched: str | None, expected: float | None
) -> None:
    assert notify.parse_watchdog(microseconds, watched, own_pid=77) == expected


def test_the_watchdog_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert notify.watchdog_interval() == 1.0
