"""The client, beside what only a real daemon can tell of it."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from perdured import client as module
from perdured.client import Client
from perdured.contract.sockets import connect_unix
from perdured.errors import NoDaemon, PerdureError

REFUSAL = b'{"error": {"what": "This daemon serves another user.", "why": "so", "todo": "this", "exit_status": 1}}'
HEAD = b"HTTP/1.1 403 Forbidden\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(REFUSAL)


def _ask_one_that_hangs_up(path: Path, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> object:
    """It has said so much, and is gone, before the client's first word."""
    has_gone = threading.Event()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def refuse() -> None:
        connection, _ = listener.accept()
        connection.sendall(answer)
        connection.close()
        has_gone.set()

    def connect(target: Path, limit: float) -> socket.socket:
        connection = connect_unix(target, limit)
        assert has_gone.wait(20)
        return connection

    monkeypatch.setattr(module, "connect_unix", connect)
    thread = threading.Thread(target=refuse)
    thread.start()
    try:
        return Client(path).list_jobs()
    finally:
        thread.join()
        listener.close()


def test_who_is_refused_before_a_word_was_heard_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was told that no daemon answers, whenever the refusal came faster than the question."""
    with pytest.raises(PerdureError, match="serves another user"):
        _ask_one_that_hangs_up(tmp_path / "s", HEAD + REFUSAL, monkeypatch)


def test_one_that_hangs_up_without_a_word_is_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoDaemon, match="The connection broke"):
        _ask_one_that_hangs_up(tmp_path / "s", b"", monkeypatch)
