"""An object store, as the remote tier needs it. The only module that imports the library (obstore).

The library retries what may be repeated, a few times and for a minute; the daemon waits longer between whole runs.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store, from_url

from .parts import Method, Parts
from .trouble import explain, is_about_bucket

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, RetryConfig

CONCURRENT = 4
"""Parts in flight. Times the size of a part, this is the memory that a copy takes."""
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
"""By the scheme; another store's says nothing of this one."""


class Object(NamedTuple):
    size: int
    etag: str
    modified: float


class Store:
    """Keys are relative to the URL. Every error is a `Trouble`."""

    def __init__(self, url: str, patience: timedelta = timedelta(seconds=60)) -> None:
        """`patience`: how long a request that fails is repeated."""
        self.url = url.rstrip("/")
        retry: RetryConfig = {"max_retries": 4, "retry_timeout": patience}
        with self._explained():
            if url.startswith("file://"):
                self._store = from_url(url, mkdir=True)
            else:
                self._store = from_url(self.url, client_options=_make_client(self.url), retry_config=retry)

    def list_objects(self, folder: str | None = None) -> dict[str, Object]:
        with self._explained():
            return {item["path"]: _describe(item) for batch in obstore.list(self._store, folder) for item in batch}

    def read(self, key: str) -> bytes:
        with self._explained():
            return bytes(obstore.get(self._store, key).bytes())

    def read_if_there(self, key: str) -> bytes | None:
        """A bucket that is not there is Trouble all the same."""
        with self._explained():
            try:
                return bytes(obstore.get(self._store, key).bytes())
            except FileNotFoundError as error:
                if is_about_bucket(error):
                    raise
                return None

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

    def head(self, key: str) -> Object:
        with self._explained():
            return _describe(obstore.head(self._store, key))

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

    @property
    def folder(self) -> str:
        """Below which all keys lie, from the bucket's top."""
        return urlsplit(self.url).path.strip("/")

    @property
    def parts(self) -> Parts | None:
        """None where unfinished uploads cannot be asked for."""
        where = urlsplit(self.url)
        return Parts(partial(_sign, where.netloc), self.folder, self.url) if where.scheme == "s3" else None

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, FileNotFoundError, PermissionError) as error:
            raise explain(error, self.url) from None


def _describe(found: ObjectMeta) -> Object:
    return Object(found["size"], (found["e_tag"] or "").strip('"'), found["last_modified"].timestamp())


def _sign(bucket: str, method: Method, target: str, last: str) -> str:
    """A URL of the bucket that the library signs. It can append only a path, "/" and `last`: that becomes the end of
    the last parameter of `target`."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    endpoint = (_find_endpoint("s3") or f"https://s3.{region}.amazonaws.com").rstrip("/") + f"/{bucket}{target}"
    store = S3Store(bucket, endpoint=endpoint, region=region, virtual_hosted_style_request=True)
    return obstore.sign(store, method, last, timedelta(minutes=5))


def _make_client(url: str) -> ClientConfig:
    """The ceiling is for one request: the library's 30 s would never let a part of 16 MiB through a slow line. An
    endpoint without TLS is one that the user has written down as such."""
    endpoint = _find_endpoint(url.partition("://")[0])
    return {"connect_timeout": "10s", "timeout": "5min", "allow_http": endpoint.startswith("http://")}


def _find_endpoint(scheme: str) -> str:
    return next(filter(None, (os.environ.get(name) for name in _ENDPOINTS.get(scheme, ()))), "")
