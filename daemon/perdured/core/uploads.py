"""Whose checkpoint is copied up next, and how long a copy that failed waits. Pure.

One job at a time, so that two large copies do not halve each other's speed: first a job that has come to rest or is
about to, since its machine may be taken away; then whoever has waited longest for a turn. A copy that failed waits by
itself (`tiers.upload_delay`) and holds nobody up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .tiers import Held, RemoteTrouble, upload_delay


class Upload(NamedTuple):
    """What is known of the copying up of one job."""

    behind: Held | None = None
    """The newest checkpoint of the disk that the remote lacks."""
    is_parting: bool = False
    """The job rests, or saves to come to rest."""
    had_turn_at: float = 0.0
    failures: int = 0
    """In a row."""
    retry_at: float = 0.0
    trouble: RemoteTrouble | None = None
    """What stands in the way."""


class Turn(NamedTuple):
    job: str | None
    wake_at: float | None = None
    """If it is nobody's turn: when it may be somebody's, without anything happening."""


def decide_turn(uploads: Mapping[str, Upload], now: float) -> Turn:
    waiting = {job: upload for job, upload in uploads.items() if upload.behind is not None}
    ready = {job: upload for job, upload in waiting.items() if upload.retry_at <= now}
    if ready:
        return Turn(min(ready, key=lambda job: (not ready[job].is_parting, ready[job].had_turn_at)))
    return Turn(None, min((upload.retry_at for upload in waiting.values()), default=None))


def note_turn(upload: Upload, now: float) -> Upload:
    return upload._replace(had_turn_at=now)


def note_success(upload: Upload) -> Upload:
    return upload._replace(failures=0, retry_at=0.0, trouble=None)


def note_failure(upload: Upload, job: str, trouble: RemoteTrouble | None, now: float) -> Upload:
    """`trouble` is None where all went well and yet nothing could be copied: the checkpoint is damaged on the disk."""
    failures = upload.failures + 1
    return upload._replace(failures=failures, retry_at=now + upload_delay(failures, job), trouble=trouble)


def is_hopeless(upload: Upload, tries: int) -> bool:
    """Whether it is no use to wait for the copy, having seen it fail so often, or of what does not pass by itself."""
    return upload.failures >= tries or (upload.trouble is not None and upload.trouble.nature != "passing")


def note_behind(upload: Upload, behind: Held | None, *, is_parting: bool) -> Upload:
    """What a look at the disk has found. One that is about to lose its machine does not wait for its next try."""
    hurries = is_parting and not upload.is_parting
    return upload._replace(
        behind=behind, is_parting=is_parting, retry_at=0.0 if hurries or behind is None else upload.retry_at
    )
