"""A checkpoint of 200 MB to an object store and back: beside what the store itself takes from other clients.

    python benchmarks/remote.py

The store is moto, a program in Python on the same machine: what is measured is what a client adds, not a network. The
limit is obstore, the library that we use, which sends the same bytes in the same parts, once, and proves nothing. Ours
checks each chunk against the manifest, proves what arrived, commits, and lists before and after. The time of the
client's own processor is told beside it, since the store's is most of the rest.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

import boto3
import obstore
from boto3.s3.transfer import TransferConfig
from obstore.store import S3Store

from perdured.contract.checkpoint import Facts, commit_checkpoint
from perdured.remote.__main__ import perform
from perdured.remote.orders import Done, Order
from support import (
    PYTHON,
    background,
    compare,
    describe_machine,
    print_table,
    read_clock,
    scratch_directory,
    take_turns,
    wait_for,
)

ROUNDS = 5
PART = 16 << 20
BUCKET = "bench"
LIMIT = "obstore"


class Store:
    """The server, seen by each client."""

    def __init__(self, port: int, root: Path) -> None:
        endpoint = f"http://127.0.0.1:{port}"
        os.environ.update(
            AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b", AWS_REGION="us-east-1", AWS_ENDPOINT_URL=endpoint
        )
        self.boto = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        self.boto.create_bucket(Bucket=BUCKET)
        self.obstore = S3Store(BUCKET, endpoint=endpoint, region="us-east-1", client_options={"allow_http": True})
        self.root = root
        facts = Facts(job=None, attempt=None, series="run")
        self.path = commit_checkpoint(root / "a", 10, {"tensors.bin": [os.urandom(1 << 20) * 190]}, facts).path
        self.file = self.path / "tensors.bin"

    def empty(self) -> None:
        for item in self.boto.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            self.boto.delete_object(Bucket=BUCKET, Key=item["Key"])

    def push_by_obstore(self) -> None:
        obstore.put(self.obstore, "file", self.file, chunk_size=PART, max_concurrency=4)

    def push_by_boto3(self) -> None:
        config = TransferConfig(multipart_chunksize=PART, max_concurrency=4)
        self.boto.upload_file(str(self.file), BUCKET, "file", Config=config)

    def push(self) -> None:
        self._perform("push", self.root / "a")

    def pull_by_obstore(self, target: Path) -> None:
        with target.open("wb") as file:
            for piece in obstore.get(self.obstore, "file").stream(min_chunk_size=PART):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    def pull_by_boto3(self, target: Path) -> None:
        self.boto.download_file(BUCKET, "file", str(target), Config=TransferConfig(multipart_chunksize=PART))
        with target.open("rb") as file:
            os.fsync(file.fileno())

    def pull(self, target: Path) -> None:
        self._perform("pull", target)

    def _perform(self, verb: str, root: Path) -> None:
        record = self.root / f"{verb}.json"
        order = Order.model_validate(
            {"verb": verb, "url": f"s3://{BUCKET}/run", "job": "bench", "name": "bench", "root": str(root)}
            | {"record": str(record), "keep": 3}
        )
        result = perform(order, lambda _: None)
        assert isinstance(result, Done), result
        record.unlink()


def time_it(name: str, prepare: Callable[[], object], work: Callable[[], object]) -> dict[str, float]:
    prepare()
    os.sync()
    began, cpu = read_clock(), time.process_time()
    work()
    return {name: read_clock() - began, f"{name} (own processor time)": time.process_time() - cpu}


def measure_up(store: Store) -> dict[str, list[float]]:
    ways = {LIMIT: store.push_by_obstore, "boto3": store.push_by_boto3, "Perdure": store.push}
    return take_turns([partial(time_it, name, store.empty, way) for name, way in ways.items()], ROUNDS)


def measure_down(store: Store) -> dict[str, list[float]]:
    store.empty()
    store.push_by_obstore()
    store.push()
    numbers = iter(range(10_000))
    ways = {LIMIT: store.pull_by_obstore, "boto3": store.pull_by_boto3, "Perdure": store.pull}

    def work(way: Callable[[Path], None]) -> None:
        way(store.root / f"down-{next(numbers)}")

    return take_turns([partial(time_it, name, lambda: None, partial(work, way)) for name, way in ways.items()], ROUNDS)


def show(title: str, results: dict[str, list[float]]) -> None:
    wall = {name: values for name, values in results.items() if "(" not in name}
    own = {name.partition(" (")[0]: values for name, values in results.items() if "(" in name}
    rows = compare(wall, LIMIT, 1000, ".0f")
    processor = compare(own, LIMIT, 1000, ".0f")
    merged = [[*row, cpu[1]] for row, cpu in zip(rows, processor, strict=True)]
    print_table(title, ["", "ms", "times obstore", "own processor, ms"], merged)


def main() -> None:
    print(f"{describe_machine()}, obstore {version('obstore')}, boto3 {boto3.__version__}")
    with scratch_directory() as root, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        command = [PYTHON, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with background(command, root):
            wait_for(lambda: _answers(port), "the store to answer")
            store = Store(port, root)
            show("Up, until it is committed", measure_up(store))
            show("Down, until it is durable", measure_down(store))


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
