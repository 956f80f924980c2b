"""Set aside on the remote what was set aside on the disk on purpose: a run that went back to an older step, or began
afresh. Ordered by step, it would count as newer than what the run is about to save, and a new machine would resume
from it.

No payload is deleted or copied: COMMIT alone moves, to quarantine/<name>/COMMIT, and is there before it goes here.
Nobody takes the name for a checkpoint then; moved back by hand, it is one again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from perdured.contract.checkpoint.layout import COMMIT, QUARANTINE, CheckpointName, format_name

from .orders import Note
from .sight import Sight, observe_remote
from .store import Store

Tell = Callable[[Note], None]


ON_PURPOSE = "as it was on the disk"


def set_aside(
    store: Store, sight: Sight, names: Collection[CheckpointName], tell: Tell, why: str = ON_PURPOSE
) -> Sight:
    """Those of the names that are committed there. Returns what is there now."""
    found = [name for name in sight.committed if name in names]
    for name in found:
        folder = format_name(name)
        store.put(f"{QUARANTINE}/{folder}/{COMMIT}", store.read(f"{folder}/{COMMIT}"))
        store.delete([f"{folder}/{COMMIT}"])
        tell(Note(text=f"{store.url}/{folder} is set aside, {why}; it is kept"))
    return observe_remote(store) if found else sight
