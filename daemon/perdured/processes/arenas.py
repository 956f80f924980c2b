"""Opens the arena that another process holds."""

from __future__ import annotations

from perdured.contract.checkpoint.arena import open_sealed
from perdured.keeper.talk import MemoryPlace


def open_arena(place: MemoryPlace) -> int | None:
    """A descriptor of it; None where it has gone, or another thing has its number."""
    return open_sealed(f"/proc/{place.pid}/fd/{place.descriptor}")
