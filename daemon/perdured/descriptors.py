"""File descriptors: the daemon's own limit, and what of it clients may take.

A service is started with a soft limit of 1024, which a few hundred clients and jobs use up. The daemon takes all that
the hard limit grants; its keepers, and so its jobs, get back what it was started with, since a program that uses
`select` breaks on numbers above 1023. Clients may take half of the limit, so that jobs can be started whatever clients
do; when there are no descriptors left all the same, a start waits.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator

MOST = 1 << 16
"""More than any machine's jobs need, and no table of a million entries where the hard limit is that high."""
FOR_A_START = 24
"""A keeper's start channel, its socket, its records and its process take fewer, with room for others meanwhile."""


AT_START = resource.getrlimit(resource.RLIMIT_NOFILE)
"""What this process was started with."""


def raise_limit() -> None:
    """Where this is forbidden, nothing changes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    if soft != resource.RLIM_INFINITY and wanted > soft:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def give_back_limit(pid: int) -> None:
    """To a child that has not begun its work."""
    if resource.getrlimit(resource.RLIMIT_NOFILE) != AT_START:
        with contextlib.suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, AT_START)


def most_connections() -> int:
    """Clients that may be connected at one time."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST // 2 if soft == resource.RLIM_INFINITY else max(soft // 2, 1)


def has_descriptors(count: int = FOR_A_START) -> bool:
    """Whether so many can be opened now."""
    with _closing() as opened:
        try:
            opened.extend(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(count))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def _closing() -> Iterator[list[int]]:
    opened: list[int] = []
    try:
        yield opened
    finally:
        for descriptor in opened:
            os.close(descriptor)
