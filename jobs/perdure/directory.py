"""A run's checkpoint directory: held by one process, written to, and searched for where to go on.

The lock is a POSIX record lock, not `flock`: a DataLoader's workers are forks of the training, and a fork keeps a
`flock` alive for the seconds until it notices that its parent was killed. A record lock dies with the process that
took it. What it cannot do, keep two runs in one process apart, a set of held directories does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from perdure.errors import CannotRestore, DirectoryInUse, NoValidCheckpoint, tell
from perdured.contract import durable, environment
from perdured.contract.checkpoint import (
    CheckpointName,
    Choice,
    Facts,
    Files,
    Manifest,
    Verdict,
    choose_checkpoint,
    commit_checkpoint,
    forgive_lost,
    list_checkpoints,
    parse_name,
    quarantine,
    retain,
    verify_checkpoint,
)
from perdured.contract.checkpoint.layout import QUARANTINE
from perdured.contract.holding import LOCK

_WAIT_SECONDS = 5.0  # for a former process that is still saving
_held: set[str] = set()


class Found(NamedTuple):
    """A checkpoint that is whole: byte by byte, or, where the reader verifies, by its names and sizes."""

    path: Path
    manifest: Manifest

    @property
    def step(self) -> int:
        return self.manifest.step


# Lock ------------------------------------------------------------------------------------------------------------


class DirectoryLock:
    """Nobody else writes checkpoints to the directory while it is held. Errors: DirectoryInUse; OSError."""

    def __init__(self, root: Path) -> None:
        durable.make_directories(root)
        self._key = os.path.realpath(root)
        if self._key in _held:
            raise _in_use(root, "this very process has another Run on it")
        self._descriptor = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._acquire(root)
        except BaseException:
            os.close(self._descriptor)
            raise
        _held.add(self._key)

    def release(self) -> None:
        _held.discard(self._key)
        os.close(self._descriptor)

    def _acquire(self, root: Path) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while not self._try():
            if time.monotonic() >= deadline:
                holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                raise _in_use(root, f"process {holder} writes its checkpoints there")
            time.sleep(0.05)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def _try(self) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Where the file system has no locks (ENOLCK, ENOSYS, …) nobody can be kept out; the commit protocol
            # keeps what two writers write whole all the same.
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True


def _in_use(root: Path, why: str) -> DirectoryInUse:
    return DirectoryInUse(f"{root} is in use", why, "Stop that one first, or give this run a directory of its own.")


# Writing ---------------------------------------------------------------------------------------------------------


def make_facts(series: str, *, healthy: bool = True, position: Mapping[str, int] | None = None) -> Facts:
    """With the job and the attempt that this process belongs to, if any."""
    attempt = os.environ.get(environment.ATTEMPT, "")
    return Facts(
        job=os.environ.get(environment.JOB_ID) or None,
        attempt=int(attempt) if attempt.isdecimal() else None,
        series=series,
        healthy=healthy,
        position=position,
        created_at=time.time(),
    )


def is_first_attempt() -> bool:
    """Whether no attempt of the job has run before; true also where nobody counts."""
    return os.environ.get(environment.FIRST, "1") == "1"


def commit(
    root: Path,
    step: int,
    files: Files,
    facts: Facts,
    check: Callable[[], None] = lambda: None,
) -> Path:
    """Durable when it returns. Errors: OSError, also that of `check`, and nothing older was touched."""
    return commit_checkpoint(root, step, files, facts, check).path


def drop_old(root: Path, keep: int, protect: Path | None) -> None:
    """Keep the newest `keep`, never fewer than two verified ones, and `protect`."""
    retain(root, keep, protect=() if protect is None else (protect,))


# Where to go on --------------------------------------------------------------------------------------------------


def find_checkpoint(root: Path, series: str, how_to_begin_again: str, *, hashes: bool = True) -> Found | None:
    """The checkpoint to resume from: the one that the daemon names, else the newest whole one in `root`.

    Every byte of it has been read and checked, here and now, or without `hashes` is to be by who loads it; broken ones
    on the way are set aside in `quarantine/`. Errors: NoValidCheckpoint if there were some, even at an earlier start,
    and none is whole; it tells `how_to_begin_again`. CannotRestore if one cannot be judged; OSError.
    """
    named = os.environ.get(environment.RESUME_FROM)
    if not named:
        return find_newest(root, series, how_to_begin_again, hashes=hashes)
    path = Path(named)
    verdict = verify_checkpoint(path, hashes=hashes)  # the daemon has done so, but disks change
    if verdict.manifest is not None and verdict.manifest.facts.series != series:
        return find_newest(root, series, how_to_begin_again, hashes=hashes)
    if verdict.manifest is None or not verdict.is_valid:
        set_aside_broken(path, verdict)
        return find_newest(root, series, how_to_begin_again, below=parse_name(path.name), hashes=hashes)
    return Found(path, verdict.manifest)


def find_newest(
    root: Path, series: str, how_to_begin_again: str, *, below: CheckpointName | None = None, hashes: bool = True
) -> Found | None:
    """The same, whatever the daemon names."""
    choice = choose_checkpoint(root, series=series, below=below, hashes=hashes)
    for path, verdict in choice.rejected:
        _set_aside(path, verdict.summarize())
    if choice.stopped_by is not None:
        raise _cannot_judge(*choice.stopped_by)
    if choice.chosen is None and choice.existed:
        raise _none_left(root, choice, how_to_begin_again)
    return None if choice.chosen is None or choice.manifest is None else Found(choice.chosen.path, choice.manifest)


def set_aside_broken(path: Path, verdict: Verdict) -> None:
    """Errors: CannotRestore for one that cannot be judged: then it stays, and no older one is used in its place."""
    if verdict.is_unknown:
        raise _cannot_judge(path, verdict)
    _set_aside(path, verdict.summarize())


def _none_left(root: Path, choice: Choice, how_to_begin_again: str) -> NoValidCheckpoint:
    what = f"no checkpoint in {root} can be resumed from, and there were some"
    if choice.rejected or choice.lost:
        aside = root / QUARANTINE
        return NoValidCheckpoint(
            what,
            f"those that are broken lie in {aside}, each with the reason beside it",
            f"Bring one back from a copy, or begin again at step 0: {how_to_begin_again}.",
        )
    why = "all were saved with a loss that was not finite"
    return NoValidCheckpoint(what, why, f"Find out why, then begin again at step 0: {how_to_begin_again}.")


def find_last_step(root: Path, series: str) -> int:
    """The newest checkpoint's step, whole or not; 0 if there is none."""
    return max((listed.step for listed in list_checkpoints(root) if _is_of(listed.path, series)), default=0)


def _is_of(path: Path, series: str) -> bool:
    manifest = verify_checkpoint(path, hashes=False).manifest
    return manifest is not None and manifest.facts.series == series


def set_aside_all(root: Path, series: str, why: str, *, newer_than: Path | None = None) -> None:
    """Move checkpoints of the series to `quarantine/`, on purpose: all, or those that order after `newer_than`.

    They must not stay where they are: ordered by step, they would count as newer than what this run is about to save.
    """
    limit = parse_name(newer_than.name) if newer_than is not None else None
    for listed in list_checkpoints(root):
        is_newer = limit is None or CheckpointName(listed.step, listed.seq) > limit
        if is_newer and _is_of(listed.path, series):
            _set_aside(listed.path, why, counts=False)


def begin_afresh(root: Path, series: str) -> None:
    """A fresh start was asked for: neither what there is nor what was lost at an earlier start is in its way."""
    set_aside_all(root, series, "a fresh start was asked for")
    forgive_lost(root, series)


def _set_aside(path: Path, why: str, *, counts: bool = True) -> None:
    with contextlib.suppress(FileNotFoundError, ValueError):  # already gone, or not ours to move
        kept = quarantine(path, why, counts=counts)
        tell(f"{path.name} is set aside: {why}", f"it is kept as {kept}")


def _cannot_judge(path: Path, verdict: Verdict) -> CannotRestore:
    return CannotRestore(
        f"{path} cannot be checked, so it is unknown whether it is whole",
        verdict.summarize(),
        "Mend that and start again; an older checkpoint is not used in its place, since work would be lost silently.",
    )
