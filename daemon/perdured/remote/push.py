"""The commit protocol where nothing can be renamed. In order, each step only after the one before it returned:

 1. Uploads that killed processes left unfinished are aborted.
 2. Each payload file that is not there yet, or not right, is sent; each chunk is compared with the manifest before it
    goes. What arrived is proven (`proving`).
 3. MANIFEST.json, byte for byte.
 4. The name is listed anew: exactly these objects, as they were proven.
 5. COMMIT, byte for byte, created only if absent, and read back. It alone decides.
 6. Only now it is reported, and only after that retention may act.

A kill at any point leaves a name without COMMIT, which nobody takes for a checkpoint. The next run finds in it what is
right and sends the rest. Where COMMIT is there already, it is our own, whose answer was lost, or another writer's: the
bytes tell. Two writers on one URL are not prevented; the first COMMIT holds, and the other one is told.

The files are opened before the first is sent, so that retention on the disk does not take them away half-way.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from perdured.contract.checkpoint.layout import COMMIT, MANIFEST, CheckpointName, format_name, parse_name
from perdured.contract.checkpoint.listing import list_checkpoints
from perdured.contract.checkpoint.manifest import FileEntry, NewerFormat, parse_fields
from perdured.contract.checkpoint.receive import Sealed, parse_sealed
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.core.tiers import Held, list_behind

from .orders import Moved, Note
from .pace import Pace
from .proving import DamagedHere, DamagedThere, ETag, is_parted, part_size, prove_by_reading, read_checked
from .record import Proof
from .sight import Sight, measure
from .store import Object, Store
from .trouble import Trouble

_MOST_OPEN = 512
"""Files. Beyond it the last are opened when their turn comes, and retention may be faster."""


class LocalCheckpoint(NamedTuple):
    """What could be copied: committed, with its files and their lengths."""

    held: Held
    path: Path
    size: int


class Copied(NamedTuple):
    name: CheckpointName
    proof: Proof
    report: Moved


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


class Copier:
    """Steps 2 to 5."""

    def __init__(self, store: Store, pace: Pace) -> None:
        self._store = store
        self._pace = pace

    def copy(self, checkpoint: Opened, there: Mapping[str, Object]) -> Copied:
        """`there`: what an earlier run left under this name."""
        sealed, size = checkpoint.sealed, measure(checkpoint.sealed.manifest)
        folder = format_name(sealed.name)
        self._pace.begin(sealed.name.step, size)
        wanted = {file.name for file in sealed.manifest.files} | {MANIFEST}
        self._store.delete([f"{folder}/{name}" for name in there if name not in wanted])
        etags, sent = {}, 0
        for file in sealed.manifest.files:
            etags[file.name], count = self._bring_up(checkpoint, file, there.get(file.name))
            sent += count
        etags[MANIFEST] = self._send_manifest(sealed, f"{folder}/{MANIFEST}")
        proof = self._list_anew(folder, etags)
        self._commit(sealed, folder)
        return Copied(sealed.name, proof, Moved(step=sealed.name.step, size=size, sent=sent))

    def _bring_up(self, checkpoint: Opened, file: FileEntry, there: Object | None) -> tuple[str, int]:
        """The ETag of the right object, and how many bytes went over the line for it."""
        chunk_size, key = checkpoint.sealed.manifest.chunk_size, f"{checkpoint.path.name}/{file.name}"
        descriptor = checkpoint.descriptors.get(file.name)
        with contextlib.ExitStack() as stack:
            if descriptor is None:
                descriptor = _open_late(checkpoint.path / file.name)
                stack.callback(os.close, descriptor)
            if there is not None and there.size == file.length:
                etag = ETag(file.length)
                for data in read_checked(descriptor, file, chunk_size):
                    etag.update(data)
                if there.etag == etag.text or self._reads_right(key, file, chunk_size):
                    self._pace.note(file.length)
                    return there.etag, 0
            return self._send(key, file, descriptor, chunk_size), file.length

    def _send(self, key: str, file: FileEntry, descriptor: int, chunk_size: int) -> str:
        expected = ETag(file.length)

        def pieces() -> Iterator[bytes]:
            for data in read_checked(descriptor, file, chunk_size):
                self._pace.spend(len(data))
                expected.update(data)
                yield data
                self._pace.note(len(data))

        if is_parted(file.length):
            etag = self._store.put_parts(key, pieces(), part_size(file.length))
        else:
            etag = self._store.put(key, b"".join(pieces()))
        if etag != expected.text and not self._reads_right(key, file, chunk_size):
            raise self._say_damaged(file.name)
        return etag

    def _send_manifest(self, sealed: Sealed, key: str) -> str:
        expected = ETag(0)
        expected.update(sealed.manifest_bytes)
        etag = self._store.put(key, sealed.manifest_bytes)
        if etag != expected.text and self._store.read(key) != sealed.manifest_bytes:
            raise self._say_damaged(MANIFEST)
        return etag

    def _say_damaged(self, file: str) -> Trouble:
        what = f"{self._store.url} holds other bytes than were sent."
        return Trouble(what, f"{file} was damaged on the way.", "Nothing has to be done: it is sent again.")

    def _reads_right(self, key: str, file: FileEntry, chunk_size: int) -> bool:
        try:
            prove_by_reading(self._store, key, file, chunk_size)
        except DamagedThere:
            return False
        return True

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
        key = f"{folder}/{COMMIT}"
        is_ours = self._store.create(key, sealed.commit_bytes)
        there = self._store.read(key)
        if there == sealed.commit_bytes:
            return
        if is_ours or not _is_commit(there):
            self._store.delete([key])
            raise self._say_damaged(COMMIT)
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
