"""Gathers the evidence of an end: the last lines of the output, and what the kernel said meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from perdured.core.evidence import Evidence
from perdured.core.observation import AttemptSeen, Ended, Lost
from perdured.keeper.records import OUTPUT_LOG
from perdured.processes import read_telling_lines

MOST_BYTES = 64 << 10
"""Of output that is looked at: a traceback of several ranks fits, and a log without an end costs no more."""
MOST_KERNEL_LINES = 50
LONGEST_LINE = 4000


def add_evidence(seen: AttemptSeen, attempt: Path, now: float) -> AttemptSeen:
    """`seen` with its evidence, where it is an end that leaves a question. What cannot be read is no evidence."""
    if not isinstance(seen, Ended | Lost) or not seen.is_clean:
        return seen
    is_failure = isinstance(seen, Lost) or seen.exit.exit_code != 0
    age = max(now - (seen.started_at or now), 0.0)
    kernel = read_telling_lines(age)[-MOST_KERNEL_LINES:] if is_failure else ()
    evidence = Evidence(output=_read_last_lines(attempt / OUTPUT_LOG), kernel=kernel)
    return seen.model_copy(update={"evidence": evidence})


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
