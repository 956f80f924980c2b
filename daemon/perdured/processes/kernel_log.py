"""Reads the kernel's log, as far as this user may: what it says of deaths and GPU faults is evidence, never needed."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

from perdured.clock import read_uptime
from perdured.core.kernel_log import LogRecord, parse_kernel_line, parse_kmsg

KMSG = "/dev/kmsg"
_LONGEST_RECORD = 8192
_SLACK = 2.0
"""Seconds by which the kernel's clock and ours may differ in what "since" means."""
_MOST_RECORDS = 200_000
"""More than any ring holds: an end for a log that is written faster than it is read."""


def read_telling_lines(age: float) -> tuple[str, ...]:
    """The lines of the last `age` seconds that tell of a death or a GPU fault; none where nothing may be read."""
    with contextlib.suppress(OSError):
        since = read_uptime() - age - _SLACK
        return tuple(r.text for r in _read_kmsg() if r.uptime >= since and parse_kernel_line(r.text) is not None)
    return tuple(line for line in _ask_journal(age) if parse_kernel_line(line) is not None)


def _read_kmsg() -> Iterator[LogRecord]:
    """All that is there now. Raises OSError where it may not be read."""
    fd = os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        for _ in range(_MOST_RECORDS):
            try:
                data = os.read(fd, _LONGEST_RECORD)
            except BlockingIOError:
                return
            except BrokenPipeError:  # the ring went round: what is next is newer
                continue
            record = parse_kmsg(data.decode("utf-8", "replace"))
            if record is not None:
                yield record
    finally:
        os.close(fd)


def _ask_journal(age: float) -> list[str]:
    since = f"--since=-{int(age + _SLACK) + 1}s"
    command = ["journalctl", "--dmesg", "--quiet", "--no-pager", "--output=cat", "--lines=2000", since]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.decode("utf-8", "replace").splitlines()
