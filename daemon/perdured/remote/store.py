"""An object store, as the remote tier needs it. The only module that imports the library (obstore).

The library retries what may be repeated, a few times and for a minute; the daemon waits longer between whole runs.

Unfinished multipart uploads are invisible and cost money until they are aborted. The library aborts its own when it
fails and lists none, so those of a killed process are found by a request of our own, whose URL the library signs:
whatever it takes for credentials, a role of the machine among them, then holds for that as well. S3 only: elsewhere
the store drops them by its own rule.
"""

from __future__ import annotations

import contextlib
import os
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store, from_url

from .trouble import explain

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CONCURRENT = 4
"""Parts in flight. Times the size of a part, this is the memory that a copy takes."""
_RETRY: RetryConfig = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_ENDPOINT = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")


class Object(NamedTuple):
    size: int
    etag: str
    modified: float


class Store:
    """Keys are relative to the URL. Every error is a `Trouble`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with self._explained():
            if url.startswith("file://"):
                self._store = from_url(url, mkdir=True)
            else:
                self._store = from_url(self.url, client_options=_make_client(), retry_config=_RETRY)

    def list_objects(self, folder: str | None = None) -> dict[str, Object]:
        with self._explained():
            return {
                item["path"]: Object(item["size"], (item["e_tag"] or "").strip('"'), item["last_modified"].timestamp())
                for batch in obstore.list(self._store, folder)
                for item in batch
            }

    def read(self, key: str) -> bytes:
        with self._explained():
            return bytes(obstore.get(self._store, key).bytes())

    def read_range(self, key: str, start: int, length: int) -> bytes:
        with self._explained():
            return bytes(obstore.get_range(self._store, key, start=start, length=length))

    def put(self, key: str, data: bytes) -> str:
        """The ETag of what is there now."""
        with self._explained():
            result = obstore.put(self._store, key, data, use_multipart=False)
        return (result["e_tag"] or "").strip('"')

    def put_parts(self, key: str, pieces: Iterable[bytes], part_size: int) -> str:
        """As `put`, in parts; what `pieces` raises comes out as it is, and nothing stays."""
        with self._explained():
            result = obstore.put(
                self._store, key, iter(pieces), use_multipart=True, chunk_size=part_size, max_concurrency=CONCURRENT
            )
        return (result["e_tag"] or "").strip('"')

    def create(self, key: str, data: bytes) -> bool:
        """Only if nothing is there: whether it was not. A repeated request may meet what it wrote itself."""
        with self._explained():
            try:
                obstore.put(self._store, key, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def delete(self, keys: list[str]) -> None:
        if keys:
            with self._explained(), contextlib.suppress(FileNotFoundError):
                obstore.delete(self._store, keys)

    def abort_uploads(self) -> int:
        """Ends what killed processes had begun below the URL; how many. Best effort: nothing rests on it."""
        where, count = urlsplit(self.url), 0
        if where.scheme != "s3":
            return 0
        prefix = f"{where.path}/step-".lstrip("/")
        with contextlib.suppress(OSError, BaseError, ET.ParseError):
            for key, id in _list_uploads(where.netloc, where.path.strip("/")):
                if key.startswith(prefix):
                    target = f"/{quote(key)}?uploadId={quote(id, safe='')}&x-id="
                    _request("DELETE", _sign("DELETE", where.netloc, target, "AbortMultipartUpload"))
                    count += 1
        return count

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError, PermissionError) as error:
            raise explain(error, self.url) from None


def _list_uploads(bucket: str, folder: str) -> list[tuple[str, str]]:
    """Key and id of each; at most a thousand, and the next run finds more."""
    target = f"?uploads=&prefix={quote(folder)}" if folder else "?uploads=&x-id="
    answer = ET.fromstring(_request("GET", _sign("GET", bucket, target, "step-")))  # noqa: S314 - the store's
    return [(each.findtext("{*}Key", ""), each.findtext("{*}UploadId", "")) for each in answer.iterfind("{*}Upload")]


def _sign(method: Literal["GET", "DELETE"], bucket: str, target: str, last: str) -> str:
    """A URL of the bucket that the library signs. It can append only a path, "/" and `last`: that becomes the end of
    the last parameter of `target`."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    endpoint = (_find_endpoint() or f"https://s3.{region}.amazonaws.com").rstrip("/") + f"/{bucket}{target}"
    store = S3Store(bucket, endpoint=endpoint, region=region, virtual_hosted_style_request=True)
    return obstore.sign(store, method, last, timedelta(minutes=5))


def _request(method: str, url: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:  # noqa: S310
        data: bytes = answer.read()
    return data


def _make_client() -> ClientConfig:
    """The ceiling is for one request: the library's 30 s would never let a part of 16 MiB through a slow line. An
    endpoint without TLS is one that the user has written down as such."""
    return {"connect_timeout": "10s", "timeout": "5min", "allow_http": _find_endpoint().startswith("http://")}


def _find_endpoint() -> str:
    return next(filter(None, (os.environ.get(name) for name in _ENDPOINT)), "")
