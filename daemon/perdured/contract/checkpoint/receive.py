"""A checkpoint that was committed elsewhere is taken into a directory, by the same protocol as every checkpoint.

It keeps its name, its manifest and its COMMIT, byte for byte: the same checkpoint in another tier. What is written is
checksummed in the same pass (`copier`) and compared with the manifest before the rename, so nothing that came through
damaged ever has a checkpoint's name. Chunks of another size than the copier's are left to a Perdure that knows them.

A number is claimed all the same, higher than any of the other place (`above`): its lock says that the writer of
`.tmp-<n>-…` lives, and no number that was given out there is given out here again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from perdured.contract.checkpoint.claims import claim_seq, find_highest_seq, release_claim, remove_claims_below
from perdured.contract.checkpoint.commit import Committed, Content, prepare_root, seal, write_and_rename
from perdured.contract.checkpoint.layout import CHUNK_SIZE, COMMIT, CheckpointName, format_name
from perdured.contract.checkpoint.manifest import FileEntry, Manifest, NewerFormat, parse_fields, parse_manifest
from perdured.contract.checkpoint.store import quarantine
from perdured.contract.durable import Buffer


@dataclass(frozen=True)
class Sealed:
    """What a checkpoint says of itself, as it came: the bytes of its two own files, and what they mean."""

    name: CheckpointName
    manifest: Manifest
    manifest_bytes: bytes
    commit_bytes: bytes


class CameDamaged(Exception):
    """What arrived is not what the manifest says. Nothing of it stays."""

    def __init__(self, file: str) -> None:
        super().__init__(f"{file} came with other bytes than were written")
        self.file = file


def parse_sealed(name: CheckpointName, manifest: bytes, commit: bytes) -> Sealed:
    """The two files of the checkpoint of this name. Errors: ValueError if they do not belong together, NewerFormat."""
    fields = parse_fields(commit)
    if fields.get("manifest_sha256") != hashlib.sha256(manifest).hexdigest():
        raise ValueError("its manifest is not the one that COMMIT was written for")
    parsed = parse_manifest(manifest)
    if fields.get("seq") != parsed.seq or (parsed.step, parsed.seq) != name:
        raise ValueError("it has another checkpoint's name")
    if parsed.chunk_size != CHUNK_SIZE:
        raise NewerFormat(f"written in chunks of {parsed.chunk_size} bytes; this Perdure copies chunks of {CHUNK_SIZE}")
    return Sealed(name, parsed, manifest, commit)


def receive_checkpoint(
    root: Path, sealed: Sealed, read: Callable[[FileEntry], Iterable[Buffer]], *, above: int = 0
) -> Committed:
    """Take it in; `read` gives a file's bytes in order. When this returns, no crash can take it back.

    Errors: CameDamaged; OSError, FileExistsError among them if a committed checkpoint has the name already.
    """
    path = root / format_name(sealed.name)
    prepare_root(root)
    _set_uncommitted_aside(path)
    files = {file.name: read(file) for file in sealed.manifest.files}
    claim = claim_seq(root, above=max(above, sealed.name.seq))
    try:
        write_and_rename(path, claim.seq, Content(files, lambda entries: _compare(sealed, entries)))
        seal(path, sealed.commit_bytes, lambda: None)
        remove_claims_below(root, claim.seq)
    finally:
        release_claim(claim)
    return Committed(path, sealed.name.step, sealed.name.seq)


def _compare(sealed: Sealed, entries: tuple[FileEntry, ...]) -> bytes:
    wrong = next((entry for entry, wanted in zip(entries, sealed.manifest.files, strict=True) if entry != wanted), None)
    if wrong is not None:
        raise CameDamaged(wrong.name)
    return sealed.manifest_bytes


def _set_uncommitted_aside(path: Path) -> None:
    """What a kill between the rename and COMMIT left. Nobody deletes what has a checkpoint's name."""
    if os.path.lexists(path) and not os.path.lexists(path / COMMIT):
        with contextlib.suppress(FileNotFoundError):
            quarantine(path, "it had no COMMIT when the checkpoint of this name was taken in from elsewhere")


def skip_numbers(root: Path, upto: int) -> None:
    """No number up to this one is given out here any more: another place has given them out."""
    prepare_root(root)
    if find_highest_seq(root) < upto:
        release_claim(claim_seq(root, above=upto - 1))
