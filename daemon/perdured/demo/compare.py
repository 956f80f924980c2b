"""Whether two runs ended with the same weights, bit by bit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from perdured.contract.checkpoint.store import list_checkpoints
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.errors import PerdureError

from .wreck import TENSORS


class Final(NamedTuple):
    """A run's last checkpoint."""

    step: int
    digest: str
    """SHA-256 of its tensors: weights, buffers, optimizer state."""


def load_final(checkpoints: Path) -> Final:
    listed = list_checkpoints(checkpoints)
    if not listed or not verify_checkpoint(listed[0].path).is_valid:
        raise PerdureError(
            "A run left no valid last checkpoint.", f"Looked in {checkpoints}.", "Look at its log there."
        )
    tensors = listed[0].path / TENSORS
    return Final(listed[0].step, hashlib.sha256(tensors.read_bytes()).hexdigest())
