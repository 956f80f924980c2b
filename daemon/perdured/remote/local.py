"""What the disk has that could be copied. Nothing is hashed here: what goes up is, as it is read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from perdured.contract.checkpoint.listing import list_checkpoints
from perdured.contract.checkpoint.manifest import Manifest
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.core.tiers import Held


class LocalCheckpoint(NamedTuple):
    """Committed, with its files and their lengths."""

    held: Held
    path: Path
    size: int


def list_local(root: Path) -> list[LocalCheckpoint]:
    """Newest first. OSError if the directory cannot be read."""
    found = []
    for listed in list_checkpoints(root):
        verdict = verify_checkpoint(listed.path, hashes=False)
        if verdict.is_valid and verdict.manifest is not None:
            facts = verdict.manifest.facts
            held = Held(listed.step, listed.seq, facts.series, facts.healthy)
            found.append(LocalCheckpoint(held, listed.path, measure(verdict.manifest)))
    return found


def measure(manifest: Manifest) -> int:
    """Bytes of the payload."""
    return sum(file.length for file in manifest.files)
