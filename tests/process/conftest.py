from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perdured.contract.sockets import connect_unix
from perdured.keeper import records
from support.processes import CEILING, Peer, attempt_directory


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """The directory of an attempt that is cleared away after the test."""
    with attempt_directory(tmp_path) as directory:
        yield directory


@pytest.fixture
def connect(directory: Path) -> Iterator[Callable[[], Peer]]:
    """Connects to the attempt's keeper without a word."""
    peers: list[Peer] = []

    def connect() -> Peer:
        peers.append(Peer(connect_unix(directory / records.SOCKET, CEILING)))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()
