"""Whether two runs ended with the same weights, bit by bit.

Compared are the tensors of the model and of the optimizer. The rest of a checkpoint may differ: the script draws
nothing from Python's and NumPy's random numbers, so it does not seed them, and each run saves its own.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from perdured.contract.checkpoint.store import list_checkpoints
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.errors import PerdureError

from .wreck import TENSORS

OWNERS = ("model.", "optimizer.")


class Final(NamedTuple):
    """A run's last checkpoint."""

    step: int
    digest: str
    """SHA-256 of the tensors of model and optimizer."""


def load_final(checkpoints: Path) -> Final:
    listed = list_checkpoints(checkpoints)
    if not listed or not verify_checkpoint(listed[0].path).is_valid:
        raise PerdureError(
            "A run left no valid last checkpoint.", f"Looked in {checkpoints}.", "Look at its log there."
        )
    return Final(listed[0].step, hash_tensors(listed[0].path / TENSORS))


def hash_tensors(path: Path) -> str:
    """Names, types, shapes and bytes. The file is in the safetensors layout: see docs/checkpoint-format.md.

    The layout: the header's length as 8 bytes, little endian; the header in JSON; the bytes of all tensors.
    """
    data = memoryview(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(bytes(data[8:start]))
    digest = hashlib.sha256()
    names = sorted(name for name in header if name.startswith(OWNERS))
    assert names, "two empty sets of weights would be the same"
    for name in names:
        begin, end = header[name]["data_offsets"]
        digest.update(json.dumps([name, header[name]["dtype"], header[name]["shape"]]).encode())
        digest.update(data[start + begin : start + end])
    return digest.hexdigest()
