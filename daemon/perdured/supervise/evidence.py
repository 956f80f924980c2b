"""Gathers the evidence of an end: the last lines of the output, and what the kernel said meanwhile."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from perdured.core.ends.evidence import Evidence
from perdured.core.observation import AttemptSeen, Ended, Lost
from perdured.keeper.records import OUTPUT_LOG

MOST_BYTES = 64 << 10
"""Of output that is looked at: a traceback of several ranks fits, and a log without an end costs no more."""
MOST_KERNEL_LINES = 50
LONGEST_LINE = 4000
_FOR_THE_KERNEL = re.compile(r"CUDA|NCCL|GPU|[Kk]illed|SIG[A-Z]+|exitcode")
_LAST_WORDS = 100

ReadKernelLog = Callable[[float], tuple[str, ...]]
"""Lines of the last so many seconds that tell of a death or a GPU fault."""


def add_evidence(seen: AttemptSeen, attempt: Path, now: float, read_kernel_log: ReadKernelLog) -> AttemptSeen:
    """`seen` with its evidence, where it is an end that leaves a question. What cannot be read is no evidence."""
    if not isinstance(seen, Ended | Lost) or not seen.is_clean:
        return seen
    output = _read_last_lines(attempt / OUTPUT_LOG)
    age = max(now - (seen.started_at or now), 0.0)
    kernel = read_kernel_log(age)[-MOST_KERNEL_LINES:] if _may_the_kernel_know(seen, output) else ()
    return seen.model_copy(update={"evidence": Evidence(output=output, kernel=kernel)})


def _may_the_kernel_know(seen: Ended | Lost, output: Sequence[str]) -> bool:
    """A plain exception is nothing that it has a word for, and its restart should not wait for one."""
    if isinstance(seen, Lost) or seen.exit.exit_code is None or seen.exit.oom_kills:
        return True
    is_failure = seen.exit.exit_code != 0
    return is_failure and (seen.exit.exit_code > 128 or any(map(_FOR_THE_KERNEL.search, output[-_LAST_WORDS:])))


def _read_last_lines(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - MOST_BYTES, 0))
            text = file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ()
    # A progress bar goes back to the beginning of its line; what it overwrote is not what was last said.
    return tuple(line.rstrip("\r").rsplit("\r", 1)[-1][:LONGEST_LINE] for line in text.split("\n"))
