"""Waits for a descriptor, such as a pidfd: in the event loop without a thread, or in a thread without the loop."""

from __future__ import annotations

import asyncio
import os
import select

from perdured.clock import read_uptime
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


def read_all(fd: int, ceiling: float) -> bytes:
    """Until its other end is closed, or what has come after `ceiling` seconds. Blocks."""
    until, data = read_uptime() + ceiling, b""
    while select.select([fd], (), (), max(until - read_uptime(), 0.0))[0]:
        more = os.read(fd, 1 << 16)
        if not more:
            break
        data += more
    return data
