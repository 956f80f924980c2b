"""What lies in a directory of checkpoints, by name alone."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from perdured.contract.checkpoint.layout import COMMIT, parse_name


@dataclass(frozen=True)
class Listed:
    """A directory with COMMIT, not verified. `committed_at` is Unix time, for display; it orders nothing."""

    path: Path
    step: int
    seq: int
    committed_at: float


def list_checkpoints(root: Path) -> list[Listed]:
    """Newest first by (step, seq); [] if `root` does not exist. OSError if it cannot be read."""
    try:
        entries = os.listdir(root)
    except FileNotFoundError:
        return []
    found = [listed for entry in entries if (listed := _observe(root, entry)) is not None]
    return sorted(found, key=lambda listed: (listed.step, listed.seq), reverse=True)


def _observe(root: Path, entry: str) -> Listed | None:
    name = parse_name(entry)
    if name is None:
        return None
    path = root / entry
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return None
        return Listed(path, name.step, name.seq, os.lstat(path / COMMIT).st_mtime)
    except FileNotFoundError:
        return None
