"""A program that looks for its own newest file by itself finds one: what the store has is given back, in its place.

Most such programs are told where to go on by `resume_args`, and need nothing here. One that is not told begins at step
0 in silence where its own files are gone, as on a new machine, or broken, as a fixed name is after a kill in the middle
of a save. So before a start, where the program has nothing whole of its own and the store has, the checkpoint that was
chosen is written to where the program had it, under its own name and with its own times: what is given back is known,
and is not taken for something new. What stands in its way is broken, and is set aside.

Nothing is ever written over: if the program has one file that is whole, or of which nothing can be said, all stays as
it is. A kill half-way leaves nothing under the name, and a temporary one that the next start removes. Where the pattern
has a wildcard in its folder, nobody knows the place; the start then says so. Only while nobody writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from perdured.contract import durable
from perdured.contract.checkpoint.manifest import Manifest
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.core.events import Event
from perdured.state.submission import Submission

from .foreign import ForeignFiles, set_aside, try_to_judge

_BLOCK = 4 << 20
_WILD = set("*?[")


class Copy(NamedTuple):
    """What of a checkpoint is the program's: a file or a folder, and the moment at which it was saved."""

    source: Path
    mtime_ns: int


def give_back(submission: Submission, checkpoint: Path) -> tuple[Event, ...]:
    """`checkpoint` was verified just now. Errors: OSError, after which nothing has the name."""
    pattern, is_told = submission.spec.checkpoint.pattern, bool(submission.spec.checkpoint.resume_args)
    if pattern is None or is_told:
        return ()
    copy = _find_copy(checkpoint, pattern)
    if copy is None or _has_whole_ones(submission):
        return ()
    folder = Path(submission.workdir, pattern).parent
    if _WILD & set(str(Path(pattern).parent)):
        text = f"{copy.source} is not given back: `pattern` does not say in which folder it was. Name {{checkpoint}} in"
        return (Event(kind="note", text=f"{text} `resume_args`, or the program begins anew"),)
    return (*_clear(submission), _write(copy, folder / copy.source.name))


def _find_copy(checkpoint: Path, pattern: str) -> Copy | None:
    """None for one that was not copied from a file of this pattern."""
    manifest: Manifest | None = verify_checkpoint(checkpoint, hashes=False).manifest
    position = manifest.facts.position if manifest is not None else None
    if manifest is None or manifest.facts.series != pattern or not position or "mtime_ns" not in position:
        return None
    return Copy(checkpoint / manifest.files[0].name.partition("/")[0], position["mtime_ns"])


def _has_whole_ones(submission: Submission) -> bool:
    """Or any of which it cannot be said: what is of no known kind is as the program left it."""
    newest_first = reversed(ForeignFiles(submission, "").find())
    return any(not _is_broken(found.path) for found in newest_first)


def _is_broken(path: Path) -> bool:
    judged = try_to_judge(path)
    return judged is not None and judged.kind is not None and judged.is_broken


def _clear(submission: Submission) -> Iterator[Event]:
    """Also the others that are broken: the program could take one of them for its newest."""
    for found in ForeignFiles(submission, "").find():
        judged = try_to_judge(found.path)
        moved = set_aside(found.path, judged.summarize() if judged is not None else "it cannot be read")
        yield Event(kind="quarantined", text=f"{moved.path} is broken ({moved.why}) and is kept as {moved.target}")


def _write(copy: Copy, target: Path) -> Event:
    """Under a name that no program looks for, until all of it is durable."""
    durable.make_directories(target.parent)
    if os.path.lexists(target):  # an empty folder, or a link to nowhere: nothing that `find` takes for a checkpoint
        set_aside(target, "it held nothing")
    temporary = target.with_name(f".{target.name}.given-back.tmp")
    if os.path.lexists(temporary):
        durable.remove_tree(temporary) if temporary.is_dir() else temporary.unlink()
    if copy.source.is_dir():
        _write_folder(copy, temporary)
    else:
        _write_file(copy.source, temporary, copy.mtime_ns)
    durable.rename_noreplace(temporary, target)
    durable.fsync_directory(target.parent)
    return Event(kind="given_back", text=f"{target} was given back, from {copy.source.parent.name}")


def _write_folder(copy: Copy, temporary: Path) -> None:
    os.mkdir(temporary)
    for source in sorted(copy.source.rglob("*")):
        target = temporary / source.relative_to(copy.source)
        if source.is_dir():
            os.mkdir(target)
        else:
            _write_file(source, target, copy.mtime_ns)
    for folder in (temporary, *(each for each in temporary.rglob("*") if each.is_dir())):
        durable.fsync_directory(folder)


def _write_file(source: Path, target: Path, mtime_ns: int) -> None:
    with source.open("rb") as file:
        durable.create_file(target, iter(lambda: file.read(_BLOCK), b""))
    os.utime(target, ns=(mtime_ns, mtime_ns))
