"""Waiting for things, and ending tasks, so that no cancellation is lost.

`asyncio.wait_for` of Python 3.10 and 3.11 swallows a cancellation that comes together with what it waits for: the task
goes on as if nobody had told it to end, and whoever waits for its end waits for ever. Nothing here calls it; a test
sees to that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from typing import TypeVar

T = TypeVar("T")


async def finish_within(work: Awaitable[T], seconds: float | None) -> T:
    """What it returns or raises; asyncio.TimeoutError after so many seconds. Then, and when the caller is cancelled,
    the work is cancelled, and has ended."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, so that it is nobody's surprise where the caller was cancelled
    if not done and task.cancelled():
        raise asyncio.TimeoutError
    return task.result()


async def wait_at_most(event: asyncio.Event, seconds: float | None) -> bool:
    """Until the event is set, or so many seconds are over; whether it is set."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiting], timeout=seconds)
    finally:
        waiting.cancel()
    return event.is_set()


async def end_tasks(tasks: Collection[asyncio.Task[None]]) -> None:
    """Returns when all have ended, however often it takes to tell them."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1.0)
