"""Google's and Azure's stores are asked as they want to be: where, with which credentials, and created only if absent.

No server of theirs can be had for a test (`fake-gcs-server` is no package of a registry, Azurite makes no container for
this library), so what is looked at are the requests. That the library speaks for them is its own promise.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from perdured.remote.store import Store, _make_client
from perdured.remote.trouble import Trouble


@dataclass
class Listener:
    """Answers every request alike, and keeps it."""

    url: str = ""
    status: int = 201
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    told = Listener()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.seen.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.send_response(told.status)
            for name, value in {"ETag": '"abc"', "x-goog-generation": "1", "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *_: object) -> None:
            """Nothing: pytest shows what matters."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=["az", "gs"])
def store(request: pytest.FixtureRequest, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "az":
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", listener.url)
        return Store("az://container/run")
    account = {"gcs_base_url": listener.url, "disable_oauth": True, "client_email": "", "private_key": ""}
    (tmp_path / "account.json").write_text(json.dumps(account | {"private_key_id": ""}))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    monkeypatch.setenv("GOOGLE_BASE_URL", listener.url)
    return Store("gs://bucket/run")


def test_a_commit_is_created_only_if_it_is_absent(store: Store, listener: Listener) -> None:
    assert store.create("step-1/COMMIT", b"x")
    ((_, path, headers),) = listener.seen
    if store.url.startswith("az"):
        assert path == "/container/run/step-1/COMMIT"
        assert headers["if-none-match"] == "*"
        assert headers["authorization"].startswith("SharedKey account:")
        assert headers["x-ms-blob-type"] == "BlockBlob"
    else:
        assert unquote(path) == "/bucket/run/step-1/COMMIT"
        assert headers["x-goog-if-generation-match"] == "0"


def test_one_that_is_there_is_left(store: Store, listener: Listener) -> None:
    listener.status = 409 if store.url.startswith("az") else 412
    assert not store.create("step-1/COMMIT", b"x")


def test_an_object_is_put_with_its_etag(store: Store, listener: Listener) -> None:
    assert store.put("step-1/a.bin", b"x") == "abc"
    assert "if-none-match" not in listener.seen[0][2]


def test_credentials_that_are_not_accepted_are_named_by_the_stores_own_variables(
    store: Store, listener: Listener
) -> None:
    listener.status = 401
    with pytest.raises(Trouble) as raised:
        store.put("step-1/a.bin", b"x")
    assert "AWS" not in str(raised.value)
    assert ("AZURE_STORAGE_ACCOUNT_KEY" if store.url.startswith("az") else "GOOGLE_APPLICATION") in raised.value.todo


def test_the_endpoint_of_another_store_opens_no_line_without_tls(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written down for that one."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")
    assert _make_client("az://container/run")["allow_http"] is False
    assert _make_client("s3://bucket/run")["allow_http"] is True
