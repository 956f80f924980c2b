"""What the daemon knows of one job's remote, for its decisions and for `perdure show`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from perdured.clock import format_time
from perdured.contract.checkpoint.layout import CheckpointName, format_name
from perdured.contract.deadline import Span
from perdured.core.uploads import Upload
from perdured.views import CheckpointView, RemoteTroubleView, RemoteView

from .orders import Moving, Order, Term
from .record import RemoteCheckpoint, RemoteRecord


class Route(NamedTuple):
    """From a job's directory of checkpoints to its remote."""

    job: str
    name: str
    root: Path
    url: str
    record: Path
    keep: int
    limit: int | None
    env: dict[str, str]
    """The job's: the credentials are in it."""
    term: Term | None = None

    @property
    def times(self) -> Path:
        """Where it is kept what its uploads took."""
        return self.record.with_name("uploads.json")

    def make_order(self, verb: Literal["push", "pull"], **changes: bool) -> Order:
        return Order(
            verb=verb,
            url=self.url,
            job=self.job,
            name=self.name,
            root=str(self.root),
            record=str(self.record),
            keep=self.keep,
            limit=self.limit,
            term=self.term,
            **changes,
        )


@dataclass
class Status:
    route: Route
    record: RemoteRecord = field(default_factory=RemoteRecord)
    upload: Upload = field(default_factory=Upload)
    moving: Moving | None = None
    doing: Literal["uploading", "fetching"] | None = None
    is_stale: bool = True
    """The disk has to be looked at again."""
    is_parting: bool = False
    moving_since: float = 0.0
    took: tuple[float, ...] = ()
    """Seconds, of the last uploads."""

    @property
    def upload_span(self) -> Span | None:
        return Span(min(self.took), max(self.took)) if self.took else None

    @property
    def is_busy(self) -> bool:
        return self.doing is not None


def find_newest(record: RemoteRecord) -> RemoteCheckpoint | None:
    return next((each for each in record.checkpoints if each.healthy), None)


def describe_status(status: Status, newest_here: int | None) -> RemoteView:
    newest, upload = find_newest(status.record), status.upload
    moving, trouble = status.moving, upload.trouble
    pending = upload.behind.step if upload.behind else None
    if status.is_stale and newest_here is not None and newest_here > (newest.step if newest else -1):
        pending = newest_here
    return RemoteView(
        url=status.route.url,
        step=newest.step if newest else None,
        committed_at=format_time(newest.committed_at) if newest else None,
        pending_step=pending,
        doing=status.doing or ("nothing" if pending is None else "waiting"),
        moving_step=moving.step if moving else None,
        bytes_done=moving.done if moving else None,
        bytes_total=moving.total if moving else None,
        trouble=RemoteTroubleView(what=trouble.what, why=trouble.why, todo=trouble.todo) if trouble else None,
        retry_at=format_time(upload.retry_at) if upload.behind and upload.failures else None,
    )


def describe_tiers(disk: Sequence[CheckpointView], record: RemoteRecord) -> list[CheckpointView]:
    """Every checkpoint once, newest first, with the tiers that hold it."""
    there = {(each.step, each.seq): each for each in record.checkpoints}
    here = {(view.step, view.seq): view for view in disk}
    both = {
        place: view.model_copy(update={"tiers": ["disk", "remote"]}) if place in there else view
        for place, view in here.items()
    }
    alone = {place: _describe_remote(each, record.url) for place, each in there.items() if place not in here}
    return [view for _, view in sorted((both | alone).items(), reverse=True)]


def _describe_remote(each: RemoteCheckpoint, url: str) -> CheckpointView:
    return CheckpointView(
        step=each.step,
        seq=each.seq,
        path=f"{url}/{format_name(CheckpointName(each.step, each.seq))}",
        committed_at=format_time(each.committed_at) or "",
        bytes=each.size,
        healthy=each.healthy,
        tiers=["remote"],
        valid=True,
    )
