"""A disk that hangs holds up the copies of its own job, and nobody else's."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.disks import Disks
from perdured.remote import tier as tier_module
from perdured.remote.local import LocalCheckpoint, list_local
from perdured.remote.status import Route
from perdured.remote.tier import RemoteTier
from support.stores import commit


@pytest.fixture
def release() -> Iterator[threading.Event]:
    release = threading.Event()
    yield release
    release.set()


def route_to(root: Path) -> Route:
    record = root.with_name(root.name + ".remote.json")
    return Route(root.name, root.name, root, "s3://bucket/run", record, keep=3, limit=None, env={})


def test_the_others_are_copied_while_one_disk_does_not_answer(
    tmp_path: Path, release: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick, well = tmp_path / "sick", tmp_path / "well"
    commit(well, 20)

    def look(root: Path) -> list[LocalCheckpoint]:
        if root == sick:
            release.wait()
        return list_local(root)

    monkeypatch.setattr(tier_module, "list_local", look)
    monkeypatch.setattr(tier_module, "SILENT", 0.05)

    async def look_at_both() -> list[int | None]:
        tier = RemoteTier(lambda *_: None, time.time, Disks())
        statuses = [tier._take_up(route_to(root)) for root in (sick, well)]
        await asyncio.wait_for(tier._look_at_disks(), 20)
        return [status.upload.behind.step if status.upload.behind else None for status in statuses]

    assert asyncio.run(look_at_both()) == [None, 20]
