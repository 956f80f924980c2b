"""Is this directory a whole checkpoint? Answered from its bytes alone, and never with an exception.

Level 0: COMMIT is there and matches the hash of MANIFEST.json. Level 1: the files are exactly those listed, regular,
of the right size. Level 2: every chunk has its checksum. Each level is asked only if the one before found nothing.

The directory may be hostile. Everything is opened below its own descriptor, one component at a time, following no
link and waiting for no FIFO; sizes, counts and depths are bounded before memory is spent.

*Unknown is not corrupt.* A newer format, a permission, a lack of descriptors say nothing about the bytes: such a
verdict is not valid, but `is_unknown`, and nobody may quarantine on it or fall back to an older checkpoint.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from perdured.contract.checkpoint.chunks import Target, find_wrong_chunk
from perdured.contract.checkpoint.layout import COMMIT, MANIFEST, CheckpointName, parse_name
from perdured.contract.checkpoint.manifest import (
    MAX_BYTES,
    MAX_DEPTH,
    FileEntry,
    Manifest,
    NewerFormat,
    parents_of,
    parse_fields,
    parse_manifest,
)
from perdured.contract.durable import read_regular

_MAX_COMMIT_BYTES = 4096
_MAX_PROBLEMS = 20
_SHOWN_PROBLEMS = 3
_MAX_EXTRA = 100
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SAYS_NOTHING = {
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EAGAIN,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.ENOTCONN,
}

Tree = Mapping[str, os.stat_result]


@dataclass(frozen=True)
class Problem:
    """What is wrong, and with which file (`.` is the checkpoint itself). Both are safe to print."""

    file: str
    what: str
    is_unknown: bool = False


@dataclass(frozen=True)
class Verdict:
    manifest: Manifest | None
    problems: tuple[Problem, ...]

    @property
    def is_valid(self) -> bool:
        return self.manifest is not None and not self.problems

    @property
    def is_unknown(self) -> bool:
        """It could not be judged: not valid, and not corrupt either."""
        return bool(self.problems) and all(problem.is_unknown for problem in self.problems)

    def summarize(self) -> str:
        """The first problems, on one line."""
        return (
            "; ".join(f"{problem.file}: {problem.what}" for problem in self.problems[:_SHOWN_PROBLEMS]) or "not valid"
        )


class _Wrong(Exception):
    """A problem found on the way; never leaves this module."""

    def __init__(self, file: str, what: str, *, is_unknown: bool = False) -> None:
        self.problem = Problem(file, what, is_unknown)


def verify_checkpoint(path: Path, *, hashes: bool = True) -> Verdict:
    """Levels 0 and 1, and 2 with `hashes`. Never raises on what it finds; a directory that vanishes is a problem."""
    return _verify(path, 2 if hashes else 1)


def load_verdict(path: Path) -> Verdict:
    """Level 0 only: what the checkpoint says of itself. Costs two small files."""
    return _verify(path, 0)


def read_file(path: Path, manifest: Manifest, file: FileEntry, targets: Iterable[Target]) -> Verdict:
    """Level 2 of that file, which is read into the targets in the same pass. They hold garbage if it is not valid."""
    try:
        with _opened(path.name, os.fspath(path), os.O_DIRECTORY) as directory:
            problems = list(_read(directory, file, manifest.chunk_size, targets))
    except _Wrong as wrong:
        problems = [wrong.problem]
    return Verdict(manifest, tuple(problems))


def _verify(path: Path, level: int) -> Verdict:
    manifest: Manifest | None = None
    try:
        with _opened(path.name, os.fspath(path), os.O_DIRECTORY) as directory:
            manifest = _load_manifest(directory, parse_name(path.name))
            problems = _check_tree(directory, manifest.files) if level > 0 else []
            if level > 1 and not problems:
                problems = list(_check_hashes(directory, manifest))
    except _Wrong as wrong:
        problems = [wrong.problem]
    except OSError as error:
        problems = [_describe(".", error)]
    return Verdict(manifest, _shorten(problems))


# Level 0 ---------------------------------------------------------------------------------------------------------


def _load_manifest(directory: int, name: CheckpointName | None) -> Manifest:
    expected, seq = _load_commit(directory)
    data = _read_small(directory, MANIFEST, MAX_BYTES)
    if hashlib.sha256(data).hexdigest() != expected:
        raise _Wrong(MANIFEST, "is not the one that COMMIT was written for")
    try:
        manifest = parse_manifest(data)
    except ValueError as error:
        raise _Wrong(MANIFEST, str(error), is_unknown=isinstance(error, NewerFormat)) from None
    if seq != manifest.seq:
        raise _Wrong(COMMIT, f"is of sequence number {seq}, the manifest of {manifest.seq}")
    if name is not None and name != (manifest.step, manifest.seq):
        raise _Wrong(MANIFEST, f"is of step {manifest.step}, sequence number {manifest.seq}: not this directory's")
    return manifest


def _load_commit(directory: int) -> tuple[str, int]:
    """The manifest's hash, and the sequence number."""
    data = _read_small(directory, COMMIT, _MAX_COMMIT_BYTES)
    if not data.endswith(b"\n"):
        raise _Wrong(COMMIT, "is cut short: its newline is missing")
    try:
        fields = parse_fields(data)
    except ValueError as error:
        raise _Wrong(COMMIT, str(error), is_unknown=isinstance(error, NewerFormat)) from None
    digest, seq = fields.get("manifest_sha256"), fields.get("seq")
    if type(digest) is not str or not _SHA256.fullmatch(digest) or type(seq) is not int:
        raise _Wrong(COMMIT, "has no seq or no manifest_sha256")
    return digest, seq


def _read_small(directory: int, name: str, limit: int) -> bytes:
    with _opened(name, name, 0, directory) as descriptor:
        try:
            return read_regular(descriptor, limit)
        except ValueError as error:
            raise _Wrong(name, str(error)) from None
        except OSError as error:
            raise _wrong(name, error) from None


# Level 1 ---------------------------------------------------------------------------------------------------------


def _check_tree(directory: int, files: tuple[FileEntry, ...]) -> list[Problem]:
    directories = parents_of(file.name for file in files)
    most = len(files) + len(directories) + 2 + _MAX_EXTRA
    found: dict[str, os.stat_result] = {}
    for name, status in _walk(directory, ""):
        found[name] = status
        if len(found) > most:
            return [Problem(".", f"holds more than {most} entries; its manifest names {len(files)} files")]
    problems = [problem for file in files for problem in _check_file(file, found)]
    expected = directories | {file.name for file in files} | {MANIFEST, COMMIT}
    problems += [Problem(_printable(name), "is not in the manifest") for name in sorted(found.keys() - expected)]
    return problems


def _walk(directory: int, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    if prefix.count("/") > MAX_DEPTH:
        raise _Wrong(_printable(prefix), "is nested too deep")
    with os.scandir(directory) as entries:
        for entry in entries:
            name = prefix + entry.name
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                raise _wrong(name, error) from None
            yield name, status
            if stat.S_ISDIR(status.st_mode):
                with _opened(name, entry.name, os.O_DIRECTORY, directory) as inner:
                    yield from _walk(inner, name + "/")


def _check_file(file: FileEntry, found: Tree) -> Iterator[Problem]:
    status = found.get(file.name)
    if status is None:
        yield Problem(file.name, "is missing")
    elif not stat.S_ISREG(status.st_mode):
        yield Problem(file.name, f"is {_kind(status)}, not a regular file")
    elif status.st_size != file.length:
        yield Problem(file.name, f"has {status.st_size} bytes instead of {file.length}")


def _kind(status: os.stat_result) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO"}
    return kinds.get(stat.S_IFMT(status.st_mode), "a special file")


# Level 2 ---------------------------------------------------------------------------------------------------------


def _check_hashes(directory: int, manifest: Manifest) -> Iterator[Problem]:
    for file in manifest.files:
        yield from _read(directory, file, manifest.chunk_size, ())


def _read(directory: int, file: FileEntry, chunk_size: int, targets: Iterable[Target]) -> Iterator[Problem]:
    try:
        with _opened_below(directory, file.name) as descriptor:
            _check_chunks(descriptor, file, chunk_size, targets)
    except _Wrong as wrong:
        yield wrong.problem
    except OSError as error:
        yield _describe(file.name, error)


def _check_chunks(descriptor: int, file: FileEntry, chunk_size: int, targets: Iterable[Target]) -> None:
    """Raises at the first wrong chunk."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size != file.length:
        raise _Wrong(file.name, "changed while it was being verified")
    number = find_wrong_chunk(descriptor, file, chunk_size, targets)
    if number is not None:
        raise _Wrong(file.name, f"has other bytes than were written: chunk {number}, at byte {number * chunk_size}")


# Opening and saying ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(shown: str, name: str, flags: int, directory: int | None = None) -> Iterator[int]:
    """Open for reading, no link followed. What the opening itself meets is a problem of `shown`."""
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=directory)
    except OSError as error:
        raise _wrong(shown, error) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened_below(directory: int, name: str) -> Iterator[int]:
    """Each component on its own: O_NOFOLLOW guards only the last."""
    first, _, rest = name.partition("/")
    with _opened(name, first, os.O_DIRECTORY if rest else 0, directory) as descriptor:
        if not rest:
            yield descriptor
            return
        with _opened_below(descriptor, rest) as inner:
            yield inner


def _wrong(name: str, error: OSError) -> _Wrong:
    problem = _describe(name, error)
    return _Wrong(problem.file, problem.what, is_unknown=problem.is_unknown)


def _describe(name: str, error: OSError) -> Problem:
    name = _printable(name)
    if error.errno == errno.ENOENT:
        return Problem(name, "is missing")
    if error.errno == errno.ELOOP:
        return Problem(name, "is a symbolic link, which is not followed")
    return Problem(name, f"cannot be read: {error.strerror}", is_unknown=error.errno in _SAYS_NOTHING)


def _printable(name: str) -> str:
    """A name from the disk, which may hold anything, safe to show in a terminal."""
    return name if name.isprintable() else ascii(name)[1:-1]


def _shorten(problems: list[Problem]) -> tuple[Problem, ...]:
    if len(problems) <= _MAX_PROBLEMS:
        return tuple(problems)
    more = len(problems) - _MAX_PROBLEMS
    return (*problems[:_MAX_PROBLEMS], Problem(".", f"has {more} more problems"))
