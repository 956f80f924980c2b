"""Waiting loses neither a cancellation nor an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from perdured.tasks import end_tasks, finish_within, wait_at_most

LONG = 60.0


async def answer(answered: asyncio.Event) -> str:
    await answered.wait()
    return "done"


def test_it_returns_what_the_work_does() -> None:
    assert asyncio.run(finish_within(asyncio.sleep(0, "done"), LONG)) == "done"
    assert asyncio.run(finish_within(asyncio.sleep(0, "done"), None)) == "done"


def test_what_the_work_raises_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(finish_within(fail(), LONG))


def test_after_its_time_the_work_is_cancelled_and_has_ended() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0)
            ended.append("work")

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(finish_within(work(), 0.01))
    assert ended == ["work"]


def test_work_that_is_cancelled_by_another_is_no_timeout() -> None:
    async def run() -> None:
        task = asyncio.ensure_future(asyncio.sleep(LONG))
        asyncio.get_running_loop().call_soon(task.cancel)
        await finish_within(task, LONG)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())


async def _within(event: asyncio.Event) -> object:
    return await finish_within(answer(event), LONG)


async def _at_most(event: asyncio.Event) -> object:
    return await wait_at_most(event, LONG)


@pytest.mark.parametrize("wait", [_within, _at_most])
@pytest.mark.parametrize("rounds", range(6))
def test_a_cancellation_that_comes_together_with_the_answer_is_not_swallowed(
    wait: Callable[[asyncio.Event], Awaitable[object]], rounds: int
) -> None:
    """`rounds` of the event loop lie between the two: the bug of `asyncio.wait_for` needs one of them."""

    async def run() -> bool:
        event = asyncio.Event()
        went_on = False

        async def work() -> None:
            nonlocal went_on
            await wait(event)
            await asyncio.sleep(0)
            went_on = True
            await asyncio.sleep(LONG)

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0.01)
        event.set()
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        await end_tasks([task])
        return bool(done) and task.cancelled()

    assert asyncio.run(run())


def test_a_task_that_overhears_its_end_is_told_again() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            await asyncio.sleep(LONG)

    async def run() -> bool:
        task = asyncio.ensure_future(stubborn())
        await asyncio.sleep(0)
        await end_tasks([task])
        return task.done()

    assert asyncio.run(run())
