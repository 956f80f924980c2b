"""A deputy from the side of who started it, as the user of the tests: no root is needed for what it is to do."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from perdured.client import Client
from perdured.config import Config
from perdured.contract.sockets import bind_unix
from perdured.users import words
from perdured.users.settings import describe_settings, parse_settings

CEILING = 30.0


class Started:
    def __init__(self, state: Path) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(CEILING)
        with theirs:
            command = [sys.executable, "-I", "-m", "perdured", "--deputy", "--state-dir", str(state)]
            self.process = subprocess.Popen(command, stdin=theirs.fileno(), stderr=subprocess.DEVNULL)
        words.say(self.channel, words.BEGIN, describe_settings(Config(state, state, "auto")))

    def hear(self) -> str:
        message = words.hear(self.channel)
        return message["type"] if message is not None else "gone"

    def close(self) -> None:
        self.channel.close()
        self.process.wait(CEILING)


@pytest.fixture
def deputy(tmp_path: Path) -> Iterator[Started]:
    started = Started(tmp_path / "state")
    yield started
    started.close()


def test_it_says_that_it_is_ready_then_how_it_stands_and_serves_whom_it_is_handed(
    deputy: Started, tmp_path: Path
) -> None:
    assert [deputy.hear(), deputy.hear()] == [words.READY, words.STAND]
    with bind_unix(tmp_path / "s") as listening:
        client = Client(tmp_path / "s")

        def hand_over() -> None:
            """Accepts one, and reads nothing of it."""
            connection, _ = listening.accept()
            with connection:
                words.say(deputy.channel, words.CONNECTED, descriptor=connection.fileno())

        thread = Thread(target=hand_over)
        thread.start()
        assert client.health()["pid"] == deputy.process.pid
        thread.join()


def test_it_ends_when_it_is_told_to_and_when_nobody_is_there_any_more(tmp_path: Path) -> None:
    told = Started(tmp_path / "one")
    assert told.hear() == words.READY
    words.say(told.channel, words.END, {"park": None})
    assert told.process.wait(CEILING) == 0
    told.close()
    left = Started(tmp_path / "two")
    assert left.hear() == words.READY
    left.close()
    assert left.process.returncode == 0


def test_nobody_makes_a_deputy_by_hand(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "perdured", "--deputy", "--state-dir", str(tmp_path / "state")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CEILING,
        check=False,
    )
    assert done.returncode == 125
    assert "This is no deputy." in done.stderr
    assert not (tmp_path / "state").exists()


def test_the_settings_of_the_machines_daemon_are_the_deputys(tmp_path: Path) -> None:
    config = Config(Path("/var/lib/perdure"), Path("/run/s"), "park")
    config = config._replace(limits=config.limits._replace(jobs=3, gpus=("GPU-a",)))
    told = parse_settings(describe_settings(config), tmp_path)
    assert (told.on_stop, told.limits, told.state_dir) == ("park", config.limits, tmp_path)
    assert not told.serves_all
