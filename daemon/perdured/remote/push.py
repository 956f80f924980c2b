"""The commit protocol where nothing can be renamed. In order, each step only after the one before it returned:

 1. Uploads that were cut short are found (`parts`). Those that are of no use any more are aborted at the end.
 2. Each payload file that is not there yet, or not right, is sent, and proven (`sending`).
 3. MANIFEST.json, byte for byte.
 4. The name is listed anew: exactly these objects, as they were proven.
 5. COMMIT, byte for byte, but for the token of the lease where there is one (`fencing`), created only if absent, and
    read back. It alone decides.
 6. Only now it is reported, and only after that retention may act.

A kill at any point leaves a name without COMMIT, which nobody takes for a checkpoint. The next run finds in it what is
right and sends the rest. Where COMMIT is there already, it is our own, whose answer was lost, or another writer's: the
bytes tell. Two jobs on one URL are kept apart by `owner`; should two write all the same, the first COMMIT holds, and
the other one is told.

The files are opened before the first is sent, so that retention on the disk does not take them away half-way.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from perdured.contract.checkpoint.layout import COMMIT, MANIFEST, CheckpointName, format_name, parse_name
from perdured.contract.checkpoint.manifest import FileEntry, NewerFormat, parse_fields
from perdured.contract.checkpoint.receive import Sealed, parse_sealed
from perdured.core.tiers import list_behind

from .local import list_local, measure
from .orders import Moved, Note
from .pace import Pace
from .proving import DamagedHere, ETag
from .record import Proof
from .sending import Sender, Sent, Source, say_damaged
from .sight import Sight
from .store import Object, Store
from .trouble import Trouble

_MOST_OPEN = 512
"""Files. Beyond it the last are opened when their turn comes, and retention may be faster."""


class Copied(NamedTuple):
    name: CheckpointName
    proof: Proof
    report: Moved


def copy_newest(root: Path, sight: Sight, copier: Copier, tell: Callable[[Note], None]) -> Copied | None:
    """The newest checkpoint that is newer than the remote's; one that is damaged here gives way to the next older."""
    paths = {each.held: each.path for each in list_local(root)}
    for held in list_behind(paths, sight.held):
        try:
            with opened(paths[held]) as checkpoint:
                return copier.copy(checkpoint, sight.unmarked.get(checkpoint.sealed.name, {}))
        except DamagedHere as error:
            tell(Note(text=f"{paths[held].name} is damaged on the disk and is not uploaded: {error}"))
    return None


class Opened(NamedTuple):
    sealed: Sealed
    path: Path
    descriptors: Mapping[str, int]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """DamagedHere if it is gone meanwhile, or is no checkpoint."""
    with contextlib.ExitStack() as stack:
        try:
            name = parse_name(path.name)
            assert name is not None
            sealed = parse_sealed(name, (path / MANIFEST).read_bytes(), (path / COMMIT).read_bytes())
            descriptors = {}
            for file in sealed.manifest.files[:_MOST_OPEN]:
                descriptors[file.name] = _open(path / file.name)
                stack.callback(os.close, descriptors[file.name])
        except (OSError, ValueError) as error:
            raise DamagedHere(str(error)) from None
        yield Opened(sealed, path, descriptors)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


class Guard(NamedTuple):
    """Of COMMIT: `check` raises where this host may not write it any more, `seal` gives its bytes."""

    check: Callable[[], None]
    seal: Callable[[bytes], bytes]


class Copier:
    """Steps 2 to 5."""

    def __init__(self, store: Store, pace: Pace, sender: Sender, guard: Guard) -> None:
        self._store = store
        self._pace = pace
        self._sender = sender
        self._guard = guard

    def copy(self, checkpoint: Opened, there: Mapping[str, Object]) -> Copied:
        """`there`: what an earlier run left under this name."""
        sealed, size = checkpoint.sealed, measure(checkpoint.sealed.manifest)
        folder = format_name(sealed.name)
        self._pace.begin(sealed.name.step, size)
        wanted = {file.name for file in sealed.manifest.files} | {MANIFEST}
        self._store.delete([f"{folder}/{name}" for name in there if name not in wanted])
        sent = {file.name: self._bring_up(checkpoint, file, there) for file in sealed.manifest.files}
        etags = {name: each.etag for name, each in sent.items()}
        etags[MANIFEST] = self._send_manifest(sealed, f"{folder}/{MANIFEST}")
        proof = self._list_anew(folder, etags)
        self._commit(sealed, folder)
        count = sum(each.size for each in sent.values())
        return Copied(sealed.name, proof, Moved(step=sealed.name.step, size=size, sent=count))

    def _bring_up(self, checkpoint: Opened, file: FileEntry, there: Mapping[str, Object]) -> Sent:
        descriptor = checkpoint.descriptors.get(file.name)
        with contextlib.ExitStack() as stack:
            if descriptor is None:
                descriptor = _open_late(checkpoint.path / file.name)
                stack.callback(os.close, descriptor)
            source = Source(file, descriptor, checkpoint.sealed.manifest.chunk_size)
            return self._sender.bring_up(f"{checkpoint.path.name}/{file.name}", source, there.get(file.name))

    def _send_manifest(self, sealed: Sealed, key: str) -> str:
        expected = ETag(0)
        expected.update(sealed.manifest_bytes)
        etag = self._store.put(key, sealed.manifest_bytes)
        if etag != expected.text and self._store.read(key) != sealed.manifest_bytes:
            raise say_damaged(self._store, MANIFEST)
        return etag

    def _list_anew(self, folder: str, etags: Mapping[str, str]) -> Proof:
        """Step 4: what a reader would find now."""
        listing = self._store.list_objects(folder)
        found = {key.partition("/")[2]: each for key, each in listing.items()}
        found.pop(COMMIT, None)
        if {name: each.etag for name, each in found.items()} != etags:
            why = f"{folder} is not what was just written there: somebody else may write to this URL."
            raise Trouble(f"{self._store.url} has changed meanwhile.", why, "Give each job a URL of its own.")
        return Proof(objects={name: (each.size, each.etag, each.modified) for name, each in found.items()})

    def _commit(self, sealed: Sealed, folder: str) -> None:
        """A COMMIT that nobody can read is nobody's: it came damaged, and is taken away again."""
        key, commit = f"{folder}/{COMMIT}", self._guard.seal(sealed.commit_bytes)
        self._guard.check()
        is_ours = self._store.create(key, commit)
        there = self._store.read(key)
        if there == commit:
            return
        if is_ours or not _is_commit(there):
            self._store.delete([key])
            raise say_damaged(self._store, COMMIT)
        why = f"{folder} was committed there with other contents."
        raise Trouble(f"Another job writes to {self._store.url}.", why, "Give each job a URL of its own.")


def _is_commit(data: bytes) -> bool:
    try:
        parse_fields(data)
    except NewerFormat:
        return True
    except ValueError:
        return False
    return True


def _open_late(path: Path) -> int:
    try:
        return _open(path)
    except OSError as error:
        raise DamagedHere(str(error)) from None
