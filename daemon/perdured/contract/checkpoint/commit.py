"""The commit protocol: a checkpoint is complete and durable, or it is debris that no reader takes for one.

In order, and each step only after the one before it returned:

 1. The directory `root`, and the way down to it, is durable.
 2. A sequence number is claimed (`claims`), never used before.
 3. `.tmp-<seq>-<random>` is made beside the place where the checkpoint will be.
 4. Each file: created exclusively, written and checksummed in one pass (`copier`), synced, closed. MANIFEST.json last.
 5. The directories are synced, the deepest first.
 6. The directory is renamed to `step-<step>-<seq>`, replacing nothing. Now it has its name.
 7. `root` is synced. Now the name is durable, and so is the claim.
 8. COMMIT, with the hash of MANIFEST.json, is put into it: temporary file, sync, rename, sync of the directory.
 9. Only now it is reported.

*The rename makes it visible, COMMIT proves it durable.* Wherever the power goes: a directory with COMMIT is complete.
A reader needs no rule but that one, and it is the same where rename is not atomic: on a file system without
RENAME_NOREPLACE the final name is claimed by an exclusive `mkdir` and COMMIT alone decides ("marker mode").

Errors. Whatever fails before step 6 removes the temporary directory and goes up. An OSError after it takes the
checkpoint away again, even if COMMIT is there: after a failed sync the page cache may show what the disk does not
have, retention would count that as good, and delete an older one that is. An fsync that failed is never repeated; the
next attempt writes new files. Nothing older is touched, on any path. A save that has a deadline and is late ends by the
same road: the deadline is looked at before each chunk, and a last time before COMMIT.

A kill leaves `.tmp-…`, or `step-…` without COMMIT. The former is swept by the next commit or retention, once its
writer is dead. The latter stays: a directory without COMMIT may also be a copy under way from elsewhere, and unmarked
does not mean deletable.

Known limits. COMMIT tells of accidents, not of forgery: who can write to the directory can write a whole checkpoint.
On a network file system the promise is the server's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from perdured.contract import durable
from perdured.contract.checkpoint.claims import claim_seq, find_highest_seq, release_claim, remove_claims_below
from perdured.contract.checkpoint.copier import copy_file
from perdured.contract.checkpoint.gather import Source
from perdured.contract.checkpoint.layout import (
    COMMIT,
    FORMAT_VERSION,
    MANIFEST,
    CheckpointName,
    format_name,
    format_temporary,
)
from perdured.contract.checkpoint.manifest import (
    Facts,
    FileEntry,
    Manifest,
    check_names,
    format_manifest,
    parents_of,
)
from perdured.contract.checkpoint.sweep import empty_trash, move_to_trash, sweep

Files = Mapping[str, Source]
Describe = Callable[[tuple[FileEntry, ...]], bytes]


@dataclass(frozen=True)
class Committed:
    path: Path
    step: int
    seq: int


def commit_checkpoint(
    root: Path, step: int, files: Files, facts: Facts, check: Callable[[], None] = lambda: None
) -> Committed:
    """Write a checkpoint of `files` below `root`; when this returns, no crash can take it back.

    `files` maps names (`a.bin`, `sub/b.bin`) to their bytes in order, in buffers of any size, or to an image of the
    whole. Each iterable is read once, so a caller that tries again after an error makes new ones. `check` is called
    before each chunk and, last, before COMMIT: an OSError that it raises, such as `deadline.TooLate`, ends the commit.

    Errors: ValueError for a name, a step or facts that no manifest can hold, before anything is written; OSError for
    what the file system says, after the partial checkpoint was removed.
    """
    check_names(files)
    format_manifest(Manifest(step, 0, facts, (FileEntry("check", 0, ()),)))
    format_name(CheckpointName(step, 0))
    prepare_root(root)
    claim = claim_seq(root)
    try:
        path = root / format_name(CheckpointName(step, claim.seq))

        def describe(entries: tuple[FileEntry, ...]) -> bytes:
            return format_manifest(Manifest(step, claim.seq, facts, entries))

        manifest = write_and_rename(path, claim.seq, Content(files, describe, check))
        seal(path, format_commit(claim.seq, manifest), check)
        remove_claims_below(root, claim.seq)
    finally:
        release_claim(claim)
    return Committed(path, step, claim.seq)


def format_commit(seq: int, manifest: bytes) -> bytes:
    """The bytes of COMMIT for a manifest's bytes."""
    digest = hashlib.sha256(manifest).hexdigest()
    return json.dumps({"format": FORMAT_VERSION, "seq": seq, "manifest_sha256": digest}).encode("ascii") + b"\n"


def prepare_root(root: Path) -> None:
    durable.make_directories(root)
    if find_highest_seq(root) == 0:
        durable.fsync_ancestors(root)  # first use: somebody may have made it a moment ago, and not synced it
    sweep(root)  # the room may be needed


class Content(NamedTuple):
    files: Files
    describe: Describe
    """Makes the manifest's bytes of what was written."""
    check: Callable[[], None] = lambda: None


def write_and_rename(path: Path, claimed: int, content: Content) -> bytes:
    """Steps 3 to 6. Returns the manifest's bytes."""
    files, describe, check = content
    temporary = path.with_name(format_temporary(claimed, durable.make_token()))
    os.mkdir(temporary, 0o755)
    try:
        for directory in sorted(parents_of(files)):
            os.mkdir(temporary / directory, 0o755)
        manifest = describe(tuple(_write_payload(temporary, file, files[file], check) for file in files))
        durable.create_file(temporary / MANIFEST, [manifest])
        for directory in sorted(parents_of(files), reverse=True):
            durable.fsync_directory(temporary / directory)
        durable.fsync_directory(temporary)
        durable.rename_noreplace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            durable.remove_tree(temporary)
        raise
    return manifest


def _write_payload(directory: Path, name: str, source: Source, check: Callable[[], None]) -> FileEntry:
    copied = copy_file(directory / name, source, check)
    return FileEntry(name, copied.length, copied.checksums)


def seal(path: Path, commit: bytes, check: Callable[[], None]) -> None:
    """Steps 7 and 8."""
    try:
        check()
        durable.fsync_directory(path.parent)
        durable.write_file(path / COMMIT, commit)
    except OSError:
        _withdraw(path)
        raise


def _withdraw(path: Path) -> None:
    try:
        trash = move_to_trash(path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path / COMMIT)
    else:
        with contextlib.suppress(OSError):
            empty_trash(path.parent, [trash])
