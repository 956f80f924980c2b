"""Reads the kernel's log, as far as this user may: what it says of deaths and GPU faults is evidence, never needed.

/dev/kmsg is opened once and read on from where the last look ended, since the restart of a job waits for it: a look
costs what was logged since. Where it may not be opened, the journal is asked; one that has nothing to say at the first
time belongs to others, and is not asked again.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from pathlib import Path

from perdured.clock import read_uptime
from perdured.core.ends.kernel_log import LogRecord, parse_kernel_line, parse_kmsg

KMSG = Path("/dev/kmsg")
_LONGEST_RECORD = 8192
_SLACK = 2.0
"""Seconds by which the kernel's clock and ours may differ in what "since" means."""
_MOST_KEPT = 1000
_MOST_RECORDS = 200_000
"""More than any ring holds: an end for a log that is written faster than it is read."""


class KernelLog:
    """May be used from several threads."""

    def __init__(self, path: Path = KMSG) -> None:
        self._telling: deque[LogRecord] = deque(maxlen=_MOST_KEPT)
        self._lock = threading.Lock()
        self._has_journal = True
        try:
            self._fd: int | None = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self._fd = None

    def close(self) -> None:
        with self._lock:
            if self._fd is not None:
                os.close(self._fd)
            self._fd, self._has_journal = None, False

    def read_telling_lines(self, age: float) -> tuple[str, ...]:
        """The lines of the last `age` seconds that tell of a death or a GPU fault; none where nothing may be read."""
        with self._lock:
            if self._fd is None:
                return tuple(line for line in self._ask_journal(age) if parse_kernel_line(line) is not None)
            self._read_on(self._fd)
            since = read_uptime() - age - _SLACK
            return tuple(record.text for record in self._telling if record.uptime >= since)

    def _read_on(self, fd: int) -> None:
        for _ in range(_MOST_RECORDS):
            try:
                data = os.read(fd, _LONGEST_RECORD)
            except BrokenPipeError:  # the ring went round: what is next is newer
                continue
            except OSError:
                return
            record = parse_kmsg(data.decode("utf-8", "replace"))
            if record is not None and parse_kernel_line(record.text) is not None:
                self._telling.append(record)

    def _ask_journal(self, age: float) -> list[str]:
        if not self._has_journal:
            return []
        since = [f"--since=-{int(age + _SLACK) + 1}s", "--lines=2000"]
        said = _run_journalctl(*since)
        self._has_journal = bool(said) or bool(_run_journalctl("--lines=1"))
        return said


def _run_journalctl(*options: str) -> list[str]:
    command = ["journalctl", "--dmesg", "--quiet", "--no-pager", "--output=cat", *options]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.decode("utf-8", "replace").splitlines()
