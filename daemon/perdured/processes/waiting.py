"""Waits in the event loop for a descriptor, such as a pidfd, without a thread."""

from __future__ import annotations

import asyncio


async def wait_readable(fd: int, ceiling: float | None = None) -> bool:
    """False when `ceiling` seconds have passed first. The caller keeps `fd` open meanwhile."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(fd, readable.set)
    try:
        await asyncio.wait_for(readable.wait(), ceiling)
    except asyncio.TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
    return True
