"""What `perdure verify` checks, by what lies at a path. Nothing is unpickled or changed, and no daemon is needed."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from perdured.contract.checkpoint.layout import COMMIT, MANIFEST, parse_name
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.errors import BadUsage, PerdureError

UNHEALTHY = "saved with a loss that was not finite; nobody resumes from it"

_ZIP_MAGIC = b"PK"
_ARCHIVE_SUFFIXES = (".pth", ".pt", ".ckpt", ".zip")
"""What torch.save writes; a broken one may not even look like an archive any more."""


class BrokenCheckpoint(PerdureError):
    exit_status = 1


class Finding(NamedTuple):
    path: Path
    step: int | None
    problems: tuple[tuple[str, str], ...]
    """The file and what is wrong with it."""
    is_unknown: bool = False
    """It could not be judged, for want of a permission or of a newer Perdure; nothing says that it is broken."""
    healthy: bool | None = None
    """Whether its loss was finite; None where nothing says so."""

    @property
    def is_valid(self) -> bool:
        return not self.problems


def find_targets(path: Path) -> list[Path]:
    """What is to be checked at `path`: itself, or the checkpoints in it, newest first. Raises BadUsage for neither."""
    if not path.exists():
        raise BadUsage(
            f"There is nothing at {path}.", "The path does not exist.", "Give a checkpoint or a file of one."
        )
    if path.is_file():
        return [_find_committed(path) or path]
    if not path.is_dir():
        why = "It is neither a file nor a directory."
        raise BadUsage(f"There is no checkpoint at {path}.", why, "Give a checkpoint or a file of one.")
    if parse_name(path.name) or (path / COMMIT).exists() or (path / MANIFEST).exists():
        return [path]
    named = [(name, each) for each in path.iterdir() if (name := parse_name(each.name)) and each.is_dir()]
    if not named:
        why = "It is neither a checkpoint nor a directory of some."
        raise BadUsage(f"There is no checkpoint in {path}.", why, "`perdure checkpoints JOB` says where they are.")
    return [each for _, each in sorted(named, reverse=True)]


def _find_committed(path: Path) -> Path | None:
    """The checkpoint that a file belongs to: the one it lies or points into, or, for a file of `perdure.save`, the one
    beside it that shares its bytes. Its hashes say more than the file's own."""
    inside = path.resolve().parent
    if (inside / COMMIT).exists():
        return inside
    beside = path.with_name(f"{path.name}.checkpoints")
    payloads = beside.glob(f"step-*/{path.name}") if beside.is_dir() else ()
    return next((payload.parent for payload in payloads if payload.samefile(path)), None)


def verify_target(path: Path) -> Finding:
    """Every byte of a checkpoint directory, or of an archive that torch.save wrote."""
    if path.is_file():
        return Finding(path, None, tuple(check_archive(path)))
    verdict = verify_checkpoint(path)
    problems = tuple((problem.file, problem.what) for problem in verdict.problems)
    manifest = verdict.manifest
    if manifest is None:
        return Finding(path, None, problems, verdict.is_unknown)
    return Finding(path, manifest.step, problems, verdict.is_unknown, manifest.facts.healthy)


def check_archive(path: Path) -> Iterator[tuple[str, str]]:
    """torch.save's files are zip archives, whose members carry a CRC-32 each."""
    with path.open("rb") as file:
        is_archive = file.read(2) == _ZIP_MAGIC
    if not is_archive and path.suffix not in _ARCHIVE_SUFFIXES:
        todo = "Only checkpoints of Perdure and files of torch.save carry checksums."
        raise BadUsage(f"{path} cannot be verified.", "It is no file of a kind that Perdure knows.", todo)
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        yield path.name, f"is cut short, or no archive of torch.save: {error}"
        return
    if broken is not None:
        yield path.name, f"has other bytes than were written, in its part {broken}"
