"""Retention on the remote, after the rule of `core.tiers`; and what dead uploads left.

COMMIT goes first, alone: from then on nobody takes the name for a checkpoint, and the rest is debris. Debris is removed
only below the newest committed checkpoint. Above it an upload may be under way, and nobody uploads below it.

A listing that failed never comes here: it is an error, and deletes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from perdured.contract.checkpoint.layout import COMMIT, CheckpointName, format_name
from perdured.core.tiers import Held, decide_proofs, decide_removals

from .orders import Note
from .proving import DamagedThere, prove_by_reading
from .record import RemoteRecord
from .sight import Found, Sight, make_record
from .store import Store


class Remote(NamedTuple):
    """One listing, and what is known of it."""

    sight: Sight
    record: RemoteRecord

    @property
    def held(self) -> list[Held]:
        return [each.held for each in self.record.checkpoints]

    def find(self, held: Held) -> Found:
        return next(found for found in self.sight.whole if found.sealed.name == held.place)


def prune(store: Store, remote: Remote, keep: int, tell: Callable[[Note], None]) -> RemoteRecord:
    """Deletes what may go. Returns what is left."""
    remote = _prove(store, remote, keep, tell)
    gone = [remote.find(held) for held in decide_removals(remote.held, keep)]
    for found in gone:
        folder = format_name(found.sealed.name)
        store.delete([f"{folder}/{COMMIT}"])
        store.delete([f"{folder}/{name}" for name in found.objects if name != COMMIT])
    _clear_debris(store, remote.sight)
    names = {found.sealed.name for found in gone}
    left = tuple(each for each in remote.record.checkpoints if (each.step, each.seq) not in names)
    return remote.record.model_copy(update={"checkpoints": left})


def _prove(store: Store, remote: Remote, keep: int, tell: Callable[[Note], None]) -> Remote:
    """Reads back the ones that must stay and that nobody here has proven yet: on a new machine, those of the old."""
    proofs = dict(remote.record.proofs)
    for held in decide_proofs(remote.held, keep):
        found = remote.find(held)
        try:
            _read_back(store, found)
        except DamagedThere as error:
            tell(Note(text=f"{store.url}/{format_name(found.sealed.name)} is damaged, and is kept: {error}"))
        else:
            proofs[found.sealed.name] = found.proof
    return Remote(remote.sight, make_record(store.url, remote.sight, proofs, remote.record.first))


def _read_back(store: Store, found: Found) -> None:
    manifest = found.sealed.manifest
    for file in manifest.files:
        prove_by_reading(store, f"{format_name(found.sealed.name)}/{file.name}", file, manifest.chunk_size)


def _clear_debris(store: Store, sight: Sight) -> None:
    newest = max((found.sealed.name for found in sight.whole), default=CheckpointName(-1, -1))
    for name, objects in sight.unmarked.items():
        if name < newest and name not in sight.aside:
            store.delete([f"{format_name(name)}/{key}" for key in objects])
