"""A real S3 server process (moto), and a proxy in front of it that does what networks and stores do on bad days."""

from __future__ import annotations

import http.client
import itertools
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import boto3

from support.daemons import wait_for

_buckets = itertools.count(1)


@dataclass(frozen=True)
class S3Server:
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self) -> Any:
        """boto3: another program than ours looks at what is there."""
        return boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )

    def make_bucket(self) -> Bucket:
        name = f"bucket-{next(_buckets)}"
        self.client().create_bucket(Bucket=name)
        return Bucket(self, name)


@dataclass(frozen=True)
class Bucket:
    server: S3Server
    name: str

    @property
    def url(self) -> str:
        """Of the remote tier in it."""
        return f"s3://{self.name}/run"

    def env(self, endpoint: str | None = None) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT_URL": endpoint or self.server.url,
        }

    def objects(self) -> dict[str, bytes]:
        """All that lies below the URL, but for OWNER. A request of one that was killed may still be under way."""
        client = self.server.client()
        while True:
            listed = client.list_objects_v2(Bucket=self.name, Prefix="run/").get("Contents", [])
            keys = [item["Key"].removeprefix("run/") for item in listed]
            with suppress(client.exceptions.NoSuchKey):
                return {key: self.get(key) for key in keys if key != "OWNER"}

    def get(self, key: str) -> bytes:
        data: bytes = self.server.client().get_object(Bucket=self.name, Key=f"run/{key}")["Body"].read()
        return data

    def put(self, key: str, data: bytes) -> None:
        self.server.client().put_object(Bucket=self.name, Key=f"run/{key}", Body=data)

    def delete(self, key: str) -> None:
        self.server.client().delete_object(Bucket=self.name, Key=f"run/{key}")

    def uploads(self) -> list[str]:
        """Keys of unfinished multipart uploads."""
        found = self.server.client().list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return [upload["Key"] for upload in found]

    def begin_upload(self, key: str) -> str:
        answer = self.server.client().create_multipart_upload(Bucket=self.name, Key=f"run/{key}")
        return str(answer["UploadId"])

    def put_part(self, key: str, upload: str, number: int, data: bytes) -> None:
        self.server.client().upload_part(
            Bucket=self.name, Key=f"run/{key}", UploadId=upload, PartNumber=number, Body=data
        )

    def parts(self, key: str) -> int:
        """How many have arrived of an unfinished upload."""
        client = self.server.client()
        found = client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        ids = [upload["UploadId"] for upload in found if upload["Key"] == f"run/{key}"]
        return sum(
            len(client.list_parts(Bucket=self.name, Key=f"run/{key}", UploadId=id).get("Parts", [])) for id in ids
        )


@contextmanager
def running_server(log: Path) -> Iterator[S3Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for(lambda: _answers(port), f"the S3 server ({log})", ceiling=40)
        yield S3Server("127.0.0.1", port)
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


# Bad days --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    number: int
    method: str
    path: str
    """With the query."""

    @property
    def file(self) -> str:
        return self.path.partition("?")[0].rpartition("/")[2]


@dataclass(frozen=True)
class Bad:
    """What happens to one request. `status` and `code` answer in the store's place. "lose": it is done, and the answer
    never comes. "damage up", "damage down": a bit of the body turns over on the way. "cut": the connection ends in the
    middle, of what is sent or of the answer."""

    way: Literal["status", "lose", "damage up", "damage down", "slow", "cut"] = "status"
    status: int = 500
    code: str = "InternalError"


Script = Callable[[Request], Bad | None]


@dataclass
class Proxy:
    server: S3Server
    script: Script = lambda request: None
    before: Callable[[Request], None] = lambda request: None
    """Called before a request is passed on."""
    after: Callable[[Request], None] = lambda request: None
    """Called once it was done, before the answer is passed on."""
    seen: list[Request] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self) -> list[str]:
        """The files of checkpoints that were sent, in order."""
        return [request.file for request in self.seen if request.method == "PUT" and request.file != "OWNER"]


@contextmanager
def running_proxy(server: S3Server) -> Iterator[Proxy]:
    proxy = Proxy(server)

    class Handler(_Handler):
        pass

    Handler.proxy = proxy
    listener = _Listener(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no error of ours."""


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        proxy, body = self.proxy, self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with proxy.lock:
            request = Request(len(proxy.seen) + 1, self.command, self.path)
            proxy.seen.append(request)
        bad = proxy.script(request)
        proxy.before(request)
        if bad is not None and bad.way == "status":
            text = f'<?xml version="1.0"?><Error><Code>{bad.code}</Code><Message>a test</Message></Error>'
            self._answer(bad.status, [], text.encode())
            return
        if bad is not None and bad.way == "slow":
            time.sleep(0.3)  # it is the slowness that is tested
        if bad is not None and bad.way == "cut" and self.command != "GET":
            self._cut()
            return
        status, headers, data = self._pass_on(_damage(body) if bad and bad.way == "damage up" else body)
        proxy.after(request)
        if bad is not None and bad.way == "cut":
            self._answer_half(status, data)
        if bad is not None and bad.way in ("lose", "cut"):
            self._cut()
            return
        self._answer(status, headers, _damage(data) if bad and bad.way == "damage down" else data)

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.proxy.server.host, self.proxy.server.port, timeout=30)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _cut(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _answer_half(self, status: int, data: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        given = {name.lower() for name, _ in headers}
        for name, value in headers:
            if name.lower() not in ("transfer-encoding", "connection") and not (
                name.lower() == "content-length" and self.command != "HEAD"
            ):
                self.send_header(name, value)
        if self.command != "HEAD" or "content-length" not in given:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _damage(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:] if data else data
