"""Checkpoints of programs that write their own: `torch.save(…, "checkpoint.pth")`, Lightning, Hugging Face, DCP.

A finished file or folder that matches the spec's pattern is committed as a copy, by the same protocol as every
checkpoint. A copy, because a program that saves over the same name tears its only good one when it is killed in
between: the copy is what `{checkpoint}` in `resume_args` names. The step is what the format says; else, where the
pattern has a wildcard, the number after "step" in the name, or the last one; a fixed name is counted by its versions.

Finished means: `perdured.formats` finds nothing wrong, and it was quiet for QUIET seconds; and it did not change while
it was copied. The quiet is not waited for where every byte has a checksum, as in a zip of torch.save, nor once the
attempt is over: nobody writes any more. A folder of no known kind is never taken.

What is broken once the attempt is over is moved aside, so that a program which picks its newest by itself picks the one
before; and only where there is a whole one before it. Else the program would begin again in silence.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import NamedTuple

from perdured.contract.checkpoint.commit import commit_checkpoint
from perdured.contract.checkpoint.manifest import Facts
from perdured.contract.checkpoint.store import list_checkpoints, move_aside, retain
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.formats import Judged, judge
from perdured.state.submission import Submission

_log = logging.getLogger("perdured")

QUIET = 2.0
RESTLESS = 60.0
"""Seconds for which something unfinished is looked at again and again after its last change."""
ASIDE = "perdure-quarantine"
"""The folder beside the program's files into which its broken ones are moved."""
_BLOCK = 4 << 20


class Version(NamedTuple):
    """One state of one file or folder."""

    name: str
    mtime_ns: int
    length: int


class Found(NamedTuple):
    path: Path
    version: Version


class Moved(NamedTuple):
    """What was set aside, where to, and why."""

    path: Path
    target: Path
    why: str


class ForeignFiles:
    """The files of one job. Used from one thread at a time; what it finds raises nothing.

    `not_before`: what is older, in seconds since the epoch, is not looked at. A fresh start leaves it where it is.
    """

    def __init__(self, submission: Submission, job: str, not_before: float = 0.0) -> None:
        checkpoint = submission.spec.checkpoint
        self._workdir = Path(submission.workdir)
        self._pattern = checkpoint.pattern or ""
        self._is_fixed = not set(self._pattern.rsplit("/", 1)[-1]) & set("*?[")
        self._root = submission.checkpoint_dir
        self._keep = checkpoint.keep
        self._job = job
        self._not_before = not_before
        self._done: set[Version] | None = None
        self._broken: set[Found] = set()
        self.look_again_at: float | None = None
        """When something that is not finished yet could be."""

    @property
    def directory(self) -> Path:
        """The folder to watch: the pattern's part before the first wildcard."""
        parts = Path(self._pattern).parts
        fixed = next((i for i, part in enumerate(parts[:-1]) if set(part) & set("*?[")), len(parts) - 1)
        return self._workdir.joinpath(*parts[:fixed])

    def commit_new_ones(self, attempt: int, now: float, *, is_over: bool = False) -> int:
        """Commits each finished version that is not in the store yet; returns how many."""
        self.look_again_at = None
        try:
            done = self._load_done()
            new = [found for found in self.find() if not _is_known(found, done)]
        except OSError as error:
            _log.warning("the own files of job %s cannot be looked at yet: %s", self._job, error)
            return 0
        judged = ((found, self._judge(found, now, is_over=is_over)) for found in new)
        return sum(self._commit(found, verdict, attempt) for found, verdict in judged if verdict is not None)

    def set_broken_ones_aside(self) -> list[Moved]:
        """The newest ones that are broken, where a whole one is left. Only while nobody writes."""
        if self._is_fixed:
            return []
        broken: list[tuple[Found, Judged]] = []
        try:
            for found in reversed(self.find()):
                judged = try_to_judge(found.path)
                if judged is None or judged.kind is None:
                    return []  # of which nothing can be said
                if not judged.is_broken:
                    return [set_aside(each.path, why.summarize()) for each, why in broken]
                broken.append((found, judged))
        except OSError as error:
            _log.warning("broken files of job %s could not be set aside: %s", self._job, error)
        return []

    def _judge(self, found: Found, now: float, *, is_over: bool) -> Judged | None:
        """None when it is not finished. What is broken and quiet is not read again until it changes."""
        if found in self._broken and not is_over:
            return None
        age = now - _last_change(found.path)
        judged = try_to_judge(found.path)
        is_quiet = is_over or age > QUIET
        if judged is not None and judged.is_broken and age > QUIET:
            self._broken.add(found)
        if judged is not None and is_finished(found.path, judged, is_quiet=is_quiet):
            return judged
        if age < RESTLESS:
            self.look_again_at = now + QUIET
        return None

    def find(self) -> list[Found]:
        """What lies there of the program's, in the order in which it was saved."""
        pattern, start = Path(self._pattern), self._workdir
        if pattern.is_absolute():
            start, pattern = Path(pattern.anchor), pattern.relative_to(pattern.anchor)
        paths = [path for path in start.glob(str(pattern)) if self._is_the_programs(path)]
        found = [Found(path, version) for path in paths if (version := _look_at(path)) is not None]
        found = [each for each in found if each.version.mtime_ns >= self._not_before * 1e9]
        return sorted(found, key=lambda each: (self._number_of(each.path) or 0, each.version.mtime_ns))

    def _is_the_programs(self, path: Path) -> bool:
        """Not one of our own copies, and not one that was set aside."""
        return self._root not in path.parents and path != self._root and ASIDE not in path.parts

    def _commit(self, found: Found, judged: Judged, attempt: int) -> bool:
        path, version = found
        facts = Facts(
            job=self._job,
            attempt=attempt,
            series=self._pattern,
            position={"mtime_ns": version.mtime_ns, "length": version.length},
            created_at=version.mtime_ns / 1e9,
        )
        try:
            commit_checkpoint(self._root, self._step_of(path, judged), _read_all_unchanged(path, version), facts)
        except (ChangedWhileCopied, FileNotFoundError):  # it will be looked at next, or was deleted meanwhile
            return False
        except (OSError, ValueError) as error:  # the job must not go unsupervised meanwhile
            _log.warning("%s could not be kept as a checkpoint yet: %s", path, error)
            return False
        self._load_done().add(version)
        retain(self._root, self._keep)
        return True

    def _step_of(self, path: Path, judged: Judged) -> int:
        step = judged.step if judged.step is not None else self._number_of(path)
        if step is not None:
            return step
        newest = list_checkpoints(self._root)
        return newest[0].step + 1 if newest else 1

    def _number_of(self, path: Path) -> int | None:
        return None if self._is_fixed else parse_step(path.name)

    def _load_done(self) -> set[Version]:
        if self._done is None:
            self._done = set(self._load_committed())
        return self._done

    def _load_committed(self) -> Iterator[Version]:
        for listed in list_checkpoints(self._root):
            manifest = verify_checkpoint(listed.path, hashes=False).manifest
            position = manifest.facts.position if manifest else None
            if manifest and position and "mtime_ns" in position:
                name = manifest.files[0].name.partition("/")[0]
                yield Version(name, position["mtime_ns"], position["length"])


class ChangedWhileCopied(Exception):
    """The program wrote it anew meanwhile: that version will be looked at next."""


def parse_step(name: str) -> int | None:
    """1200 for "ckpt-001200.pt", 1500 for "epoch=3-step=1500-v1.ckpt": the number after "step", or after "epoch", or
    the last one. None when there is none."""
    stem = name.rsplit(".", 1)[0]
    for word in ("step", "epoch"):
        named = re.findall(rf"{word}[=_-]?(\d+)", stem)
        if named:
            return int(named[-1])
    numbers: list[str] = re.findall(r"\d+", stem)
    return int(numbers[-1]) if numbers else None


def is_finished(path: Path, judged: Judged, *, is_quiet: bool) -> bool:
    if judged.is_broken or (judged.kind is None and path.is_dir()):
        return False
    return is_quiet or (judged.has_checksums and not path.is_dir())


def try_to_judge(path: Path) -> Judged | None:
    """None for what vanished, or cannot be read."""
    try:
        return judge(path)
    except OSError:
        return None


def _is_known(found: Found, done: set[Version]) -> bool:
    """It is in the store; or it is a folder of which the program is deleting the files."""
    version = found.version
    if version in done:
        return True
    same = [each for each in done if each.name == version.name] if found.path.is_dir() else []
    return any(each.mtime_ns >= version.mtime_ns and each.length > version.length for each in same)


def set_aside(path: Path, why: str) -> Moved:
    return Moved(path, move_aside(path, path.parent / ASIDE, why, counts=False), why)


def _look_at(path: Path) -> Version | None:
    """None when it is neither a file nor a folder with some, or is gone: programs delete their old ones."""
    try:
        statuses = [each.stat() for each in _list_files(path)]
    except OSError:
        return None
    if not statuses:
        return None
    return Version(path.name, max(s.st_mtime_ns for s in statuses), sum(s.st_size for s in statuses))


def _list_files(path: Path) -> list[Path]:
    """Itself, or the regular files below it, but for those that somebody is still writing under another name."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return [path]
    if not stat.S_ISDIR(mode):
        return []
    below = sorted(path.rglob("*"))
    return [each for each in below if each.suffix != ".tmp" and stat.S_ISREG(each.lstat().st_mode)]


def _last_change(path: Path) -> float:
    """Seconds since the epoch; of a folder, also when a file came or went. Now, as it were, when it vanishes."""
    try:
        paths = [path, *path.rglob("*")] if path.is_dir() else [path]
        return max(each.lstat().st_mtime if each != path else each.stat().st_mtime for each in paths)
    except OSError:
        return float("inf")


def _read_all_unchanged(path: Path, version: Version) -> dict[str, Iterator[bytes]]:
    """Each file by its name in the checkpoint. The last of them looks whether all is still as it was."""
    files = _list_files(path)
    if files == [path]:
        return {path.name: _read_unchanged(path, version)}
    names = [f"{path.name}/{each.relative_to(path).as_posix()}" for each in files]
    contents = [_read_file(each) for each in files[:-1]] + [_read_last(files[-1], path, version)]
    return dict(zip(names, contents, strict=True))


def _read_file(path: Path) -> Generator[bytes, None, os.stat_result]:
    """Its blocks; and, once they are read, what the file that was open looks like."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
        return os.fstat(file.fileno())


def _read_last(path: Path, folder: Path, version: Version) -> Iterator[bytes]:
    yield from _read_file(path)
    if _look_at(folder) != version:
        raise ChangedWhileCopied(folder)


def _read_unchanged(path: Path, version: Version) -> Iterator[bytes]:
    status = yield from _read_file(path)
    if _look_at(path) != version or (status.st_mtime_ns, status.st_size) != version[1:]:
        raise ChangedWhileCopied(path)
