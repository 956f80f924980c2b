"""One S3 server process for all tests of a worker; a bucket and a proxy for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.remotes import Machine
from support.s3 import Bucket, Proxy, S3Server, running_proxy, running_server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_server(tmp_path_factory.mktemp("s3") / "moto.log") as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    return s3.make_bucket()


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[Proxy]:
    with running_proxy(s3) as proxy:
        yield proxy


@pytest.fixture
def machine(tmp_path: Path, bucket: Bucket, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The bucket's environment is this process's as well."""
    for name, value in bucket.env(proxy.url).items():
        monkeypatch.setenv(name, value)
    return Machine(tmp_path / "root", bucket, proxy)
