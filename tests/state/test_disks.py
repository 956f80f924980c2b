"""A disk that hangs holds up who needs it, and nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from perdured import disks
from perdured.disks import PER_MOUNT, PER_PLACE, Disks, find_mount
from perdured.errors import DiskSilent

CEILING = 20.0


@pytest.fixture
def sick() -> Iterator[threading.Event]:
    """A disk that answers once this is set."""
    healed = threading.Event()
    yield healed
    healed.set()


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two mounts, /sick and /well, besides the root."""
    table = tmp_path / "mountinfo"
    lines = [
        f"{n} 1 0:{n} / {point} rw - ext4 /dev/x rw\n" for n, point in enumerate(("/", "/sick", "/well", "/a\\040b"))
    ]
    table.write_text("".join(lines))
    monkeypatch.setattr(disks, "MOUNTS", table)


async def _let_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_an_answer_and_an_error_come_back() -> None:
    async def ask() -> None:
        assert await Disks().touch(Path("/"), lambda: 7) == 7
        with pytest.raises(FileNotFoundError):
            await Disks().touch(Path("/"), Path("/nonexistent/x").read_bytes)

    asyncio.run(ask())


def test_who_asks_a_silent_disk_is_told_in_time(sick: threading.Event) -> None:
    async def ask() -> None:
        with pytest.raises(DiskSilent, match="does not answer"):
            await Disks().touch(Path("/sick"), sick.wait, within=0.01)

    asyncio.run(ask())


@pytest.mark.usefixtures("mounts")
def test_one_hanging_mount_takes_no_thread_from_another(sick: threading.Event) -> None:
    async def ask() -> None:
        all_disks = Disks()
        hung = [asyncio.ensure_future(all_disks.touch(Path(f"/sick/{n}"), sick.wait)) for n in range(3 * PER_MOUNT)]
        await _let_run()
        before = threading.active_count()
        assert await asyncio.wait_for(all_disks.touch(Path("/well"), lambda: "well"), CEILING) == "well"
        assert sum(thread.name == "disk" for thread in threading.enumerate()) <= PER_MOUNT + 1
        assert threading.active_count() <= before + 1
        sick.set()
        assert all(await asyncio.wait_for(asyncio.gather(*hung), CEILING))

    asyncio.run(ask())


@pytest.mark.usefixtures("mounts")
def test_one_hanging_place_takes_no_thread_from_another_on_its_mount(sick: threading.Event) -> None:
    async def ask() -> None:
        all_disks = Disks()
        for _ in range(PER_MOUNT):
            with pytest.raises(DiskSilent):
                await all_disks.touch(Path("/sick/place"), sick.wait, within=0.001)
        assert sum(thread.name == "disk" for thread in threading.enumerate()) <= PER_PLACE
        assert await asyncio.wait_for(all_disks.touch(Path("/sick/other"), lambda: "well"), CEILING) == "well"

    asyncio.run(ask())


@pytest.mark.usefixtures("mounts")
def test_who_waits_for_a_mount_is_let_in_alone_and_in_the_order_of_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    """All were woken for each that left: a daemon with 10,000 finished jobs took minutes to start."""
    monkeypatch.setattr(disks, "PER_MOUNT", 1)

    async def ask() -> None:
        all_disks, served = Disks(), list[int]()
        asked = [all_disks.touch(Path(f"/well/{n}"), partial(served.append, n)) for n in range(50)]
        await asyncio.wait_for(asyncio.gather(*asked), CEILING)
        assert served == list(range(50))
        assert not all_disks._busy
        assert not all_disks._waiting

    asyncio.run(ask())


@pytest.mark.usefixtures("mounts")
def test_who_does_not_wait_any_more_keeps_nobody_out(sick: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "PER_MOUNT", 1)

    async def ask() -> None:
        all_disks = Disks()
        first = asyncio.ensure_future(all_disks.touch(Path("/sick/a"), sick.wait))
        await _let_run()
        with pytest.raises(DiskSilent):
            await all_disks.touch(Path("/sick/b"), lambda: "too late", within=0.01)
        last = asyncio.ensure_future(all_disks.touch(Path("/sick/c"), lambda: "last"))
        await _let_run()
        sick.set()
        await asyncio.wait_for(asyncio.gather(first, last), CEILING)
        assert last.result() == "last"

    asyncio.run(ask())


def test_the_end_does_not_wait_for_a_disk_that_hangs(sick: threading.Event) -> None:
    async def ask() -> None:
        asyncio.ensure_future(Disks().touch(Path("/"), sick.wait))  # noqa: RUF006 - cancelled by the end of the loop
        await _let_run()

    asyncio.run(ask())
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "disk")


@pytest.mark.usefixtures("mounts")
@pytest.mark.parametrize(
    ("place", "point"),
    [("/sick/x/y", "/sick"), ("/sick", "/sick"), ("/sickness", "/"), ("/a b/c", "/a b"), ("/sick/../well/x", "/well")],
)
def test_the_mount_of_a_place_is_the_longest_that_holds_it(place: str, point: str) -> None:
    assert find_mount(Path(place)) == point
