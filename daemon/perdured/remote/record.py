"""What the carrier found on the remote, in a file of the job: for its next run, for the daemon and for `perdure show`.

Only a memory: without it the next run looks again, and checks again what it has to know. The carrier alone writes it.
"""

from __future__ import annotations

from pathlib import Path

from perdured.contract import durable
from perdured.contract.checkpoint.layout import CheckpointName
from perdured.core.tiers import Held
from perdured.core.value import Value


class Proof(Value):
    """The objects whose bytes were checked, as size, ETag and time: one that is written again gets others."""

    objects: dict[str, tuple[int, str, float]]


class RemoteCheckpoint(Value):
    step: int
    seq: int
    series: str
    healthy: bool
    size: int
    committed_at: float
    proof: Proof | None = None

    @property
    def held(self) -> Held:
        return Held(self.step, self.seq, self.series, self.healthy, self.proof is not None)


class RemoteRecord(Value):
    version: int = 1
    url: str = ""
    is_owned: bool = False
    """The remote was made this job's; another's name in OWNER then means that it was taken over."""
    checkpoints: tuple[RemoteCheckpoint, ...] = ()
    """Newest first."""
    first: int = 0
    """The row of leases under which the disk was last brought in line; 0: none."""

    @property
    def proofs(self) -> dict[CheckpointName, Proof]:
        return {CheckpointName(each.step, each.seq): each.proof for each in self.checkpoints if each.proof is not None}


def load_record(path: Path, url: str) -> RemoteRecord | None:
    """None where there is none of this URL, or it cannot be read."""
    try:
        record = RemoteRecord.model_validate(durable.load_json(path))
    except (OSError, ValueError):
        return None
    return record if record.url == url else None


def save_record(path: Path, record: RemoteRecord) -> None:
    durable.write_file(path, record.model_dump_json().encode(), mode=0o600)
