"""Claims: how sequence numbers are given out once, and how a writer shows that it lives.

A claim is an empty file `.seq-<n>`, created exclusively; its name is all it says. Two rules make a number unique for
the life of the directory, even after every checkpoint in it was deleted:

1. The highest claim is never removed. A lower one goes only after a higher one is durable.
2. A claim counts only if, *after* it was created, nothing higher is seen. A writer that chose its number from an old
   listing finds the higher claim then, and takes another.

No `fsync` is spent on it: the sync of the directory that makes the published name durable comes before COMMIT, and
makes the claim durable with it. So a committed number is always covered; one that a power cut took back was never
told to anybody.

The writer holds the claim's lock while it writes, so that its `.tmp-<n>-…` is known to be alive; the kernel lets go
when it dies. A claim is removed only by who holds its lock, and a writer checks, with the lock in hand, that its
claim is still the file of that name. Where there are no locks, every writer counts as alive and nothing is swept. A
child that was forked during a commit shares the lock, so what the commit left is swept only after the child's end.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import NamedTuple

from perdured.contract import durable
from perdured.contract.checkpoint.layout import QUARANTINE, format_claim, parse_any_seq, parse_claim

_TRIES = 1000


class Claim(NamedTuple):
    seq: int
    descriptor: int


def claim_seq(root: Path, *, above: int = 0) -> Claim:
    """Take a number that no checkpoint of this directory ever had, and higher than `above`. Close it with
    `release_claim`."""
    for _ in range(_TRIES):
        claim = _try_claim(root, max(find_highest_seq(root), above) + 1)
        if claim is not None:
            return claim
    raise OSError(errno.EBUSY, "no sequence number could be claimed", str(root))


def _try_claim(root: Path, seq: int) -> Claim | None:
    path = root / format_claim(seq)
    try:
        claim = Claim(seq, durable.create_exclusively(path))
    except FileExistsError:
        return None
    is_ours = False
    try:
        durable.lock(claim.descriptor)
        is_ours = _is_file_at(claim.descriptor, path) and find_highest_seq(root) == seq
    finally:
        if not is_ours:
            release_claim(claim)
    return claim if is_ours else None


def release_claim(claim: Claim) -> None:
    """The file stays: the number is used up. Only the lock goes."""
    with contextlib.suppress(OSError):  # nothing was written, so there is nothing that it could have lost
        os.close(claim.descriptor)


def find_highest_seq(root: Path) -> int:
    """The highest number in any name here, also of debris and quarantine; 0 if there is none."""
    entries = os.listdir(root)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        entries += os.listdir(root / QUARANTINE)
    return max((seq for seq in map(parse_any_seq, entries) if seq is not None), default=0)


def is_writer_alive(root: Path, seq: int) -> bool:
    """Whether the writer with this number may still be at work. What cannot be told is a yes."""
    try:
        descriptor = _open_claim(root, seq)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not durable.try_lock(descriptor)
    finally:
        os.close(descriptor)


def remove_claims_below(root: Path, seq: int) -> None:
    """Tidy up, once claim `seq` is durable. Best effort: a claim too many does no harm."""
    with contextlib.suppress(OSError):
        for lower in [found for found in map(parse_claim, os.listdir(root)) if found is not None and found < seq]:
            _remove_if_free(root, lower)


def _remove_if_free(root: Path, seq: int) -> None:
    descriptor = _open_claim(root, seq)
    try:
        if durable.try_lock(descriptor):
            os.unlink(root / format_claim(seq))
    finally:
        os.close(descriptor)


def _open_claim(root: Path, seq: int) -> int:
    # For writing: network file systems lock nothing else.
    return os.open(root / format_claim(seq), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
