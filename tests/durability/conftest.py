from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.scenarios import Judge

_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    """One for the session, as equal states are read once; in memory, as there are thousands."""
    with tempfile.TemporaryDirectory(dir=_MEMORY) as scratch:
        yield Judge(Path(scratch))


@pytest.fixture
def memory() -> Iterator[Path]:
    """A scratch directory that costs no disk access, where the machine has one."""
    with tempfile.TemporaryDirectory(dir=_MEMORY) as scratch:
        yield Path(scratch)
