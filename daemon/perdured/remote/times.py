"""What the last uploads of a job took, in a file of the job: so that a daemon that has just started can tell what of a
save would still reach the remote before a deadline.

Only a memory. Times of another remote are none.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from pydantic import Field

from perdured.contract import durable
from perdured.core.value import Value

REMEMBERED = 8
"""Uploads: enough for the slowest of late, and few enough to forget a network that was slow once."""


class UploadTimes(Value):
    url: str
    took: tuple[float, ...] = Field((), max_length=REMEMBERED)
    """Seconds, the last one last."""


def load_times(path: Path, url: str) -> tuple[float, ...]:
    try:
        times = UploadTimes.model_validate(durable.load_json(path))
    except (OSError, ValueError):
        return ()
    return times.took if times.url == url else ()


def save_times(path: Path, url: str, took: tuple[float, ...]) -> None:
    """A disk that takes no record of it is no reason to stop."""
    with contextlib.suppress(OSError):
        durable.write_file(path, UploadTimes(url=url, took=took).model_dump_json().encode(), mode=0o600)
