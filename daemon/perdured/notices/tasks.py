"""Waiting for things, and ending tasks, so that no cancellation is lost: `asyncio.wait_for` swallows one that comes
together with what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection


async def wait_at_most(event: asyncio.Event, seconds: float | None) -> None:
    """Until the event is set, or so many seconds are over."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiting], timeout=seconds)
    finally:
        waiting.cancel()


async def end_tasks(tasks: Collection[asyncio.Task[None]]) -> None:
    """Returns when all have ended, however often it takes to tell them."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=1.0)
