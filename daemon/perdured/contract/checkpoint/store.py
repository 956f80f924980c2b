"""A directory of checkpoints: what is in it, where to resume, what to set aside.

Choosing only reads. It goes from the newest to the oldest by (step, seq) and takes the first that is whole; what is
not whole is reported as rejected, for the caller to `quarantine`. Three things are not rejected:

- a directory without COMMIT, which is no checkpoint;
- one saved as unhealthy (a loss that is not finite): nobody resumes from it, but its bytes are right;
- one that could not be judged (`Verdict.is_unknown`: a newer format, no permission). There the choice *stops*: to
  resume from an older one would silently throw away work that is probably there. `Choice.stopped_by` says which.

Errors while listing go up as OSError: a directory that cannot be read is not an empty one. Nor is one whose checkpoints
lie in its quarantine: see `reasons`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from perdured.contract import durable
from perdured.contract.checkpoint.layout import QUARANTINE, CheckpointName, parse_name
from perdured.contract.checkpoint.listing import Listed, list_checkpoints
from perdured.contract.checkpoint.manifest import Manifest
from perdured.contract.checkpoint.reasons import find_lost, reason_of, save_reason
from perdured.contract.checkpoint.retention import retain
from perdured.contract.checkpoint.verify import Verdict, load_verdict, verify_checkpoint

__all__ = ["Choice", "Listed", "choose_checkpoint", "list_checkpoints", "quarantine", "retain"]


@dataclass(frozen=True)
class Choice:
    """Where to resume. `chosen` None and `existed` True: stop and say so, never start afresh by yourself.

    `rejected` are corrupt, newest first. `stopped_by` could not be judged and must not be quarantined. `lost`, looked
    for only if nothing is chosen, lie in the quarantine since an earlier start. `existed`: there was a committed
    checkpoint of this series, or one whose series cannot be read, here or among the lost.
    """

    chosen: Listed | None
    manifest: Manifest | None
    rejected: tuple[tuple[Path, Verdict], ...]
    existed: bool
    stopped_by: tuple[Path, Verdict] | None = None
    lost: tuple[Path, ...] = ()


def choose_checkpoint(
    root: Path,
    *,
    series: str | None = None,
    below: CheckpointName | None = None,
    but: Collection[str] = (),
    hashes: bool = True,
) -> Choice:
    """The newest whole, healthy checkpoint of the series (None: of any), older than `below`. Reads only.

    Those named in `but` (by the name of their directory) are passed over, and count as having existed. Without `hashes`
    the bytes are not read, only names and sizes. Errors: OSError if `root` or its quarantine cannot be listed.
    """
    listing = list_checkpoints(root)
    rejected: list[tuple[Path, Verdict]] = []
    existed = any(_belongs(listed, series) for listed in listing if not _is_below(listed, below))
    for listed in listing:
        if not _is_below(listed, below):
            continue
        verdict = load_verdict(listed.path)
        if verdict.is_valid and not _is_of(verdict, series):
            continue
        existed = True
        if listed.path.name in but or (verdict.is_valid and not _is_healthy(verdict)):
            continue
        if verdict.is_valid:
            verdict = verify_checkpoint(listed.path, hashes=hashes)
        if verdict.is_valid:
            return Choice(listed, verdict.manifest, tuple(rejected), existed)
        if verdict.is_unknown:
            return Choice(None, None, tuple(rejected), existed, (listed.path, verdict))
        if os.path.lexists(listed.path):  # else retention, in another process, was faster
            rejected.append((listed.path, verdict))
    lost = find_lost(root, series)
    return Choice(None, None, tuple(rejected), existed or bool(lost), lost=lost)


def _is_below(listed: Listed, below: CheckpointName | None) -> bool:
    return below is None or (listed.step, listed.seq) < below


def _belongs(listed: Listed, series: str | None) -> bool:
    verdict = load_verdict(listed.path)
    return not verdict.is_valid or _is_of(verdict, series)


def _is_of(verdict: Verdict, series: str | None) -> bool:
    return series is None or (verdict.manifest is not None and verdict.manifest.facts.series == series)


def _is_healthy(verdict: Verdict) -> bool:
    return verdict.manifest is not None and verdict.manifest.facts.healthy


def quarantine(path: Path, why: str, *, counts: bool = True) -> Path:
    """Set a checkpoint aside in `quarantine/`, durably, with the reason in a file beside it. Deletes nothing.

    Without `counts` it is set aside on purpose, and does not keep its series from beginning again. Returns its new
    place. Errors: ValueError for a path that is no checkpoint's; OSError, FileNotFoundError among them if another
    process set it aside first.
    """
    if parse_name(path.name) is None:
        raise ValueError(f"{path} is not the name of a checkpoint")
    aside = path.parent / QUARANTINE
    if aside.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, "a link could lead anywhere", str(aside))
    return move_aside(path, aside, why, counts=counts)


def move_aside(path: Path, aside: Path, why: str, *, counts: bool) -> Path:
    """Move anything into that folder, durably, under a name that is free there, with the reason in a file beside it."""
    durable.make_directories(aside)
    target = _move_to_free_name(path, aside)
    durable.fsync_directory(aside)
    durable.fsync_directory(path.parent)
    save_reason(target, path.name, why, counts=counts)
    return target


def _move_to_free_name(path: Path, aside: Path) -> Path:
    """Free of a reason too: one of a checkpoint that was brought back says nothing of what comes in its place."""
    number = 0
    while True:
        target = aside / (path.name if number == 0 else f"{path.name}.{number}")
        number += 1
        if os.path.lexists(reason_of(target)):
            continue
        try:
            durable.rename_noreplace(path, target)
        except FileExistsError:
            if not os.path.lexists(target):
                raise  # refused although it is free: so would be the next, for ever
            continue
        return target
