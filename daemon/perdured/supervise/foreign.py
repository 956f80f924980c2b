"""Checkpoints of programs that write their own files, such as `torch.save(…, "checkpoint.pth")`.

A finished file that matches the spec's pattern is committed as a copy, by the same protocol as every checkpoint. A
copy, because a program that saves over the same name tears its only good one when it is killed in between: the copy
is what `{checkpoint}` in `resume_args` names. Where the pattern has a wildcard, a file's step is the last number in
its name; a file with a fixed name is counted, one step for each version.

Finished means: its zip structure and every CRC in it hold (what torch.save writes is a zip; nothing is unpickled), or,
for other formats, that it has been quiet for QUIET seconds; and that it did not change while it was copied. Known
limit: torch.save with its CRC switched off is not recognised.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from perdured.contract.checkpoint.commit import commit_checkpoint
from perdured.contract.checkpoint.manifest import Facts
from perdured.contract.checkpoint.store import list_checkpoints, retain
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.state.submission import Submission

_log = logging.getLogger("perdured")

QUIET = 2.0
_BLOCK = 4 << 20


class Version(NamedTuple):
    """One state of one file."""

    name: str
    mtime_ns: int
    length: int


class Found(NamedTuple):
    path: Path
    version: Version


class ForeignFiles:
    """The files of one job. Used from one thread at a time."""

    def __init__(self, submission: Submission, job: str) -> None:
        checkpoint = submission.spec.checkpoint
        self._workdir = Path(submission.workdir)
        self._pattern = checkpoint.pattern or ""
        self._is_fixed = not set(self._pattern.rsplit("/", 1)[-1]) & set("*?[")
        self._root = submission.checkpoint_dir
        self._keep = checkpoint.keep
        self._job = job
        self._done = set(self._load_committed())

    @property
    def directory(self) -> Path:
        """The folder to watch: the pattern's part before the first wildcard."""
        parts = Path(self._pattern).parts
        fixed = next((i for i, part in enumerate(parts[:-1]) if set(part) & set("*?[")), len(parts) - 1)
        return self._workdir.joinpath(*parts[:fixed])

    def commit_new_ones(self, attempt: int, now: float) -> int:
        """Commits each finished version that is not in the store yet; returns how many."""
        new = [found for found in self._find() if found.version not in self._done and is_finished(found.path, now)]
        return sum(self._commit(path, version, attempt) for path, version in new)

    def _find(self) -> list[Found]:
        """In the order in which they were saved."""
        pattern, start = Path(self._pattern), self._workdir
        if pattern.is_absolute():
            start, pattern = Path(pattern.anchor), pattern.relative_to(pattern.anchor)
        paths = [path for path in start.glob(str(pattern)) if self._root not in path.parents]
        found = [Found(path, version) for path in paths if (version := _look_at(path)) is not None]
        return sorted(found, key=lambda each: (self._number_of(each.path) or 0, each.version.mtime_ns))

    def _commit(self, path: Path, version: Version, attempt: int) -> bool:
        facts = Facts(
            job=self._job,
            attempt=attempt,
            series=self._pattern,
            position={"mtime_ns": version.mtime_ns, "length": version.length},
            created_at=version.mtime_ns / 1e9,
        )
        try:
            commit_checkpoint(self._root, self._step_of(path), {path.name: _read_unchanged(path, version)}, facts)
        except ChangedWhileCopied:
            return False
        except OSError as error:  # the job must not go unsupervised meanwhile
            _log.warning("%s could not be kept as a checkpoint yet: %s", path, error)
            return False
        self._done.add(version)
        retain(self._root, self._keep)
        return True

    def _step_of(self, path: Path) -> int:
        step = self._number_of(path)
        if step is not None:
            return step
        newest = list_checkpoints(self._root)
        return newest[0].step + 1 if newest else 1

    def _number_of(self, path: Path) -> int | None:
        return None if self._is_fixed else parse_step(path.name)

    def _load_committed(self) -> Iterator[Version]:
        for listed in list_checkpoints(self._root):
            manifest = verify_checkpoint(listed.path, hashes=False).manifest
            position = manifest.facts.position if manifest else None
            if manifest and position and "mtime_ns" in position:
                yield Version(manifest.files[0].name, position["mtime_ns"], position["length"])


class ChangedWhileCopied(Exception):
    """The program wrote it anew meanwhile: that version will be looked at next."""


def parse_step(name: str) -> int | None:
    """The last number in a file's name: 1200 for "ckpt-001200.pt"; None when there is none."""
    numbers: list[str] = re.findall(r"\d+", name.rsplit(".", 1)[0])
    return int(numbers[-1]) if numbers else None


def is_finished(path: Path, now: float) -> bool:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
        with path.open("rb") as file:
            is_torn_zip = b"PK".startswith(file.read(2))  # an empty file is the beginning of anything
        return not is_torn_zip and now - path.stat().st_mtime > QUIET
    except (OSError, zipfile.BadZipFile, NotImplementedError):
        return False


def _look_at(path: Path) -> Version | None:
    """None when it is no regular file, or is gone: programs delete their old ones."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Version(path.name, status.st_mtime_ns, status.st_size) if stat.S_ISREG(status.st_mode) else None


def _read_unchanged(path: Path, version: Version) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
        status = os.fstat(file.fileno())
    if _look_at(path) != version or (status.st_mtime_ns, status.st_size) != version[1:]:
        raise ChangedWhileCopied(path)
