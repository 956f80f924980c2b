"""Waits in the event loop for a descriptor, such as a pidfd, without a thread."""

from __future__ import annotations

import asyncio

from perdured.tasks import wait_at_most


async def wait_readable(fd: int, ceiling: float | None = None) -> bool:
    """False when `ceiling` seconds have passed first. The caller keeps `fd` open meanwhile."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        return await wait_at_most(readable, ceiling)
    finally:
        loop.remove_reader(fd)
