"""What a listing of the remote means. The names below the URL are those of a local directory of checkpoints.

COMMIT alone decides: a name without it is an upload under way, or debris of one; or it was set aside (`aside`). A name
with it is whole if its COMMIT and manifest belong together and exactly the manifest's files are there, of the right
length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from perdured.contract.checkpoint.layout import COMMIT, MANIFEST, QUARANTINE, CheckpointName, format_name, parse_name
from perdured.contract.checkpoint.manifest import MAX_BYTES, NewerFormat
from perdured.contract.checkpoint.receive import Sealed, parse_sealed
from perdured.core.tiers import Held

from .local import measure
from .record import Proof, RemoteCheckpoint, RemoteRecord
from .store import Object, Store
from .trouble import Trouble


@dataclass(frozen=True)
class Sight:
    """Newest first, each of the three."""

    whole: tuple[Found, ...]
    broken: tuple[tuple[CheckpointName, str], ...]
    """Committed, and not what the manifest says."""
    unmarked: Mapping[CheckpointName, Mapping[str, Object]]
    aside: tuple[CheckpointName, ...] = ()

    @property
    def committed(self) -> list[CheckpointName]:
        return [found.sealed.name for found in self.whole] + [name for name, _ in self.broken]

    @property
    def highest_seq(self) -> int:
        return max((name.seq for name in (*self.committed, *self.unmarked, *self.aside)), default=0)

    @property
    def held(self) -> list[Held]:
        """The whole ones, proven or not."""
        return [Held(*each.sealed.name, *_say_kind(each)) for each in self.whole]

    @property
    def holds_any(self) -> bool:
        return bool(self.whole or self.broken)


@dataclass(frozen=True)
class Found:
    sealed: Sealed
    objects: Mapping[str, Object]
    """By their names below the checkpoint."""

    @property
    def size(self) -> int:
        return measure(self.sealed.manifest)

    @property
    def proof(self) -> Proof:
        """What holds of these objects, once their bytes were checked."""
        objects = {name: (each.size, each.etag, each.modified) for name, each in self.objects.items()}
        objects.pop(COMMIT)
        return Proof(objects=objects)

    def describe(self, known: Proof | None) -> RemoteCheckpoint:
        """`known`: what was once proven, and holds if nothing has changed since."""
        facts, name = self.sealed.manifest.facts, self.sealed.name
        return RemoteCheckpoint(
            step=name.step,
            seq=name.seq,
            series=facts.series,
            healthy=facts.healthy,
            size=self.size,
            committed_at=self.objects[COMMIT].modified,
            proof=self.proof if known == self.proof else None,
        )


def observe_remote(store: Store) -> Sight:
    """Trouble if it cannot be listed or read, or holds what a later Perdure wrote: unknown is not absent."""
    whole: list[Found] = []
    broken: list[tuple[CheckpointName, str]] = []
    unmarked: dict[CheckpointName, Mapping[str, Object]] = {}
    listing = store.list_objects()
    aside = tuple(name for name in _group(listing, f"{QUARANTINE}/"))
    for name, objects in sorted(_group(listing).items(), reverse=True):
        if COMMIT not in objects:
            unmarked[name] = objects
            continue
        try:
            whole.append(_read(store, name, objects))
        except NewerFormat as error:
            where = f"{store.url}/{format_name(name)}"
            raise Trouble(f"{where} cannot be judged.", f"It was {error}.", "Use that version of Perdure.") from None
        except ValueError as error:
            broken.append((name, str(error)))
    return Sight(tuple(whole), tuple(broken), unmarked, aside)


def make_record(url: str, sight: Sight, proofs: Mapping[CheckpointName, Proof], first: int = 0) -> RemoteRecord:
    """What is there now, with those of the proofs that still hold."""
    checkpoints = tuple(each.describe(proofs.get(each.sealed.name)) for each in sight.whole)
    return RemoteRecord(url=url, is_owned=True, checkpoints=checkpoints, first=first)


def _say_kind(found: Found) -> tuple[str, bool]:
    facts = found.sealed.manifest.facts
    return facts.series, facts.healthy


def _group(listing: Mapping[str, Object], below: str = "") -> dict[CheckpointName, dict[str, Object]]:
    groups: dict[CheckpointName, dict[str, Object]] = {}
    for key, found in listing.items():
        if not key.startswith(below):
            continue
        folder, slash, rest = key.removeprefix(below).partition("/")
        name = parse_name(folder)
        if name is not None and slash:
            groups.setdefault(name, {})[rest] = found
    return groups


def _read(store: Store, name: CheckpointName, objects: Mapping[str, Object]) -> Found:
    if MANIFEST not in objects:
        raise ValueError("its manifest is missing")
    if max(objects[MANIFEST].size, objects[COMMIT].size) > MAX_BYTES:
        raise ValueError(f"its manifest or COMMIT is larger than {MAX_BYTES} bytes")
    folder = format_name(name)
    sealed = parse_sealed(name, store.read(f"{folder}/{MANIFEST}"), store.read(f"{folder}/{COMMIT}"))
    for file in sealed.manifest.files:
        if file.name not in objects:
            raise ValueError(f"{file.name} is missing")
        if objects[file.name].size != file.length:
            raise ValueError(f"{file.name} has {objects[file.name].size} bytes instead of {file.length}")
    return Found(sealed, objects)
