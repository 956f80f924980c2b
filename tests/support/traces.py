"""The commit protocol as rules over a record of system calls, and `strace`'s output as such a record."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from perdured.contract.checkpoint import parse_name
from perdured.contract.checkpoint.layout import parse_temporary
from support.faults import Call

WRITES = ("write", "pwrite", "truncate")


def find_misorders(calls: list[Call], root: Path, payload: set[str]) -> Iterator[str]:
    """What is against the protocol in the trace of one commit. `payload` are the names of its files."""
    published = [at for at, call in enumerate(calls) if call.name == "rename" and _is_publication(call)]
    if len(published) != 1:
        yield f"published {len(published)} times"
        return
    at = published[0]
    temporary, final = calls[at].path, calls[at].other
    before, after = calls[:at], calls[at + 1 :]
    files = {f"{temporary}/{name}" for name in (*payload, "MANIFEST.json")}
    directories = {os.path.dirname(file) for file in files}
    for file in sorted(files):
        yield from _misorders_of_file(before, file)
    if _last(before, "create", f"{temporary}/MANIFEST.json") < max(
        _last(before, name, f) for name in WRITES for f in files if "MANIF" not in f
    ):
        yield "the manifest does not come last"
    yield from _misorders_of_directories(before, directories)
    yield from _misorders_of_seal(after, final, os.fspath(root))


def _is_publication(call: Call) -> bool:
    return (
        parse_temporary(os.path.basename(call.path)) is not None
        and parse_name(os.path.basename(call.other)) is not None
    )


def _misorders_of_file(calls: list[Call], file: str) -> Iterator[str]:
    """Created exclusively once, written, synced once after the last write, closed."""
    made, synced = _all(calls, "create", file), _all(calls, "fsync", file)
    written = [at for name in WRITES for at in _all(calls, name, file)]
    if len(made) != 1:
        yield f"{file} is created {len(made)} times"
    cut = _last(calls, "truncate", file)
    if cut >= 0 and cut < max(written):
        yield f"{file} is cut to its length before all of it was written"
    if len(synced) != 1 or synced[0] < max(written, default=0):
        yield f"{file} is not synced once, after it was written"
    if _last(calls, "close", file) < max(synced, default=0):
        yield f"{file} is not closed after it was synced"


def _misorders_of_directories(calls: list[Call], directories: set[str]) -> Iterator[str]:
    """Each synced once all its entries are made, the deeper before the one above."""
    for directory in sorted(directories):
        synced = _last(calls, "fsyncdir", directory)
        entries = [
            at for at, call in enumerate(calls) if call.name in ("create", "mkdir") and _is_in(call.path, directory)
        ]
        if synced < max(entries):
            yield f"{directory} is not synced after its entries were made"
        for inner in directories:
            if _is_in(inner, directory) and _last(calls, "fsyncdir", inner) > synced:
                yield f"{directory} is synced before {inner}"


def _misorders_of_seal(calls: list[Call], final: str, root: str) -> Iterator[str]:
    """The root synced; then COMMIT written beside, synced, renamed, and its directory synced."""
    renames = [at for at, call in enumerate(calls) if call.name == "rename" and call.other == f"{final}/COMMIT"]
    if len(renames) != 1:
        yield f"COMMIT is put in place {len(renames)} times"
        return
    seal = calls[renames[0]].path
    root_synced = _all(calls, "fsyncdir", root)
    if not root_synced or root_synced[0] > _last(calls, "create", seal):
        yield "the root is not synced before COMMIT is begun"
    yield from _misorders_of_file(calls[: renames[0]], seal)
    if _last(calls, "fsyncdir", final) < renames[0]:
        yield "COMMIT's name is not synced"
    if any(call.name == "unlink" for call in calls[: renames[0]]):
        yield "something is removed before COMMIT is in place"


def _all(calls: list[Call], name: str, path: str) -> list[int]:
    return [at for at, call in enumerate(calls) if call.name == name and call.path == path]


def _last(calls: list[Call], name: str, path: str) -> int:
    return max(_all(calls, name, path), default=-1)


def _is_in(path: str, directory: str) -> bool:
    return os.path.dirname(path) == directory


# strace ----------------------------------------------------------------------------------------------------------

_BEGUN = re.compile(r"^(\d+) +(\w+\(.*) <unfinished \.\.\.>$")
_ENDED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (?!-)", flags=re.MULTILINE)
_BY_DESCRIPTOR = {"write": "write", "pwrite64": "pwrite", "ftruncate": "truncate", "close": "close"}
_BY_PATH = ("open", "openat", "creat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")


def parse_strace(text: str) -> list[Call]:
    """The calls that succeeded, in the order in which they ended.

    The trace was made with `-y` (paths beside descriptors), and all paths are absolute.
    """
    calls = [(match[1], match[2]) for match in _LINE.finditer("\n".join(_join_halves(text)))]
    directories = {_STRING.findall(arguments)[0] for name, arguments in calls if "O_DIRECTORY" in arguments}
    return [call for name, arguments in calls if (call := _parse(name, arguments, directories)) is not None]


def _join_halves(text: str) -> Iterator[str]:
    """A call of one thread during which another made one stands on two lines."""
    begun: dict[str, str] = {}
    for line in text.splitlines():
        if half := _BEGUN.match(line):
            begun[half[1]] = half[2]
        elif half := _ENDED.match(line):
            yield f"{half[1]} {begun.pop(half[1], '')}{half[2]}"
        else:
            yield line


def _parse(name: str, arguments: str, directories: set[str]) -> Call | None:
    held = _DESCRIPTOR.findall(arguments) if name not in _BY_PATH else []
    paths = _STRING.findall(arguments) if name in _BY_PATH else []
    if name == "openat" and "O_CREAT" in arguments:
        return Call("create" if "O_EXCL" in arguments and "O_NOFOLLOW" in arguments else "overwrite", paths[0])
    if name in _BY_DESCRIPTOR and held:
        return Call(_BY_DESCRIPTOR[name], held[0])
    if name in ("fsync", "fdatasync"):
        return Call("fsyncdir" if held[0] in directories else "fsync", held[0])
    if name == "mkdir":
        return Call("mkdir", paths[0])
    if name.startswith("rename"):
        return Call("rename", paths[0], paths[1])
    return Call("unlink", paths[0]) if name.startswith("unlink") else None
