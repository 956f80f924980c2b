"""A shutdown waits until the jobs are safe, and no longer than logind lets it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from perdured.notices.logind import Logind
from support.ears import Ear, listen, make_eyes
from support.logind import CAN_RUN, FakeLogind, run_bus

pytestmark = pytest.mark.skipif(not CAN_RUN, reason="no dbus-daemon to run here")


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with run_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address


@pytest.fixture
def logind(bus: str) -> Iterator[FakeLogind]:
    logind = FakeLogind()
    yield logind
    logind.close()


class Jobs:
    are_safe = False


def play(scene: Callable[[Ear, Jobs], Awaitable[None]], haste: float = 50.0) -> None:
    async def inside() -> None:
        jobs = Jobs()
        async with listen(Logind(make_eyes(haste), lambda: jobs.are_safe)) as ear:
            await scene(ear, jobs)

    asyncio.run(inside())


async def wait_for_locks(logind: FakeLogind, count: int) -> None:
    async def wait() -> None:
        while logind.locks != count:  # noqa: ASYNC110 - nobody tells of a pipe that was closed
            await asyncio.sleep(0.01)

    await asyncio.wait_for(wait(), 20)


def test_the_lock_is_held_from_the_start_until_the_jobs_are_safe(logind: FakeLogind) -> None:
    async def scene(ear: Ear, jobs: Jobs) -> None:
        assert "5 s" in await ear.wait_for_state("works")
        assert logind.locks == 1
        logind.prepare(shutdown=True)
        notice = await ear.wait_for_notice()
        assert (notice.kind, notice.sureness, notice.disk) == ("shutdown", "not_before", "kept")
        assert notice.deadline == notice.received_at + 5.0
        assert logind.locks == 1
        jobs.are_safe = True
        await wait_for_locks(logind, 0)

    play(scene)


def test_a_shutdown_that_was_called_off_is_withdrawn_and_the_lock_is_taken_anew(logind: FakeLogind) -> None:
    async def scene(ear: Ear, jobs: Jobs) -> None:
        await ear.wait_for_silence()
        jobs.are_safe = True
        logind.prepare(shutdown=True)
        await wait_for_locks(logind, 0)
        logind.prepare(shutdown=False)
        await ear.wait_for_silence()
        await wait_for_locks(logind, 1)
        logind.prepare(shutdown=True)
        await ear.wait_for_notice()

    play(scene)


def test_a_daemon_that_starts_while_the_machine_goes_down_sees_it(logind: FakeLogind) -> None:
    logind.is_preparing = True

    async def scene(ear: Ear, _jobs: Jobs) -> None:
        assert (await ear.wait_for_notice()).kind == "shutdown"

    play(scene)


def test_a_logind_that_refuses_is_told_as_blind(logind: FakeLogind) -> None:
    logind.refuses = True

    async def scene(ear: Ear, _jobs: Jobs) -> None:
        assert "not for you" in await ear.wait_for_state("blind")

    play(scene)


def test_a_bus_without_logind_is_blind_and_so_is_a_machine_without_a_bus(
    bus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(ear: Ear, _jobs: Jobs) -> None:
        assert "logind cannot be asked" in await ear.wait_for_state("blind")

    play(scene)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere")
    play(scene)


def test_a_logind_that_comes_back_is_held_again(logind: FakeLogind, tmp_path: Path) -> None:
    async def scene(ear: Ear, _jobs: Jobs) -> None:
        await ear.wait_for_silence()
        logind.refuses = True
        logind.prepare(shutdown=False)  # the lock is taken anew, and refused
        await ear.wait_for_state("blind")
        logind.refuses = False
        await ear.wait_for_state("works")

    play(scene)


def test_nothing_is_held_once_nobody_watches(logind: FakeLogind) -> None:
    async def scene(ear: Ear, _jobs: Jobs) -> None:
        await ear.wait_for_silence()

    play(scene)

    async def inside() -> None:
        await wait_for_locks(logind, 0)

    asyncio.run(inside())
