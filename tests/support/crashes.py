"""Every state a file system may show after a power cut, from a record of the calls that came before it.

The model is pessimistic, as POSIX allows:

- Bytes not covered by an fsync of their file may be all there, cut in half, zeros, or gone; of several writes, each on
  its own; and the cut of a file to its length may not have happened.
- A change to a directory (an entry made, renamed, removed) not covered by an fsync of that directory may have
  happened or not, each on its own, in any combination.
- A directory that is not reachable is gone, with all in it, however well it was synced.

Two kinds of disk. On a *journalled* one a rename is one change: the old name goes and the new one comes together, also
across directories. On a *torn* one these are two changes. Linux's common file systems are of the first kind.

Left out: reordering below an fsync that returned (a disk that lies), and damage to what was durable (that is what the
checksums are for).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

from support.faults import Call

Tree = dict[str, Union[bytes, "Tree"]]  # it names itself, which `|` cannot
_MOST_PENDING = 14


@dataclass(eq=False)
class File:
    content: bytes = b""
    synced: bytes = b""
    since: list[Call] = field(default_factory=list)
    """What was done to it after the last sync."""

    def change(self, call: Call) -> None:
        self.since.append(call)
        self.content = _after(self.content, call)

    def sync(self) -> None:
        self.synced = self.content
        self.since.clear()


@dataclass(eq=False)
class Directory:
    entries: dict[str, Node] = field(default_factory=dict)
    synced: dict[str, Node] = field(default_factory=dict)


Node = File | Directory


@dataclass(eq=False, frozen=True)
class Change:
    """Entries that change together: (directory, name, what it then is, None for nothing)."""

    parts: tuple[tuple[Directory, str, Node | None], ...]

    def touches(self, directory: Directory) -> bool:
        return any(part[0] is directory for part in self.parts)


class Disk:
    """What lies below `base`, all of it durable at first. `apply` the calls, ask for `states` in between."""

    def __init__(self, base: Path, *, torn: bool = False) -> None:
        self._base = os.fspath(base)
        self._torn = torn
        self._root = _load(base)
        self._pending: list[Change] = []

    # Calls ---------------------------------------------------------------------------------------------------

    def apply(self, call: Call) -> None:
        """Calls outside `base`, and those that change nothing, are passed over."""
        method = getattr(self, "_" + call.name, None)
        if method is not None and (call.path == self._base or call.path.startswith(self._base + "/")):
            method(call)

    def _create(self, call: Call) -> None:
        self._enter(call.path, File())

    def _mkdir(self, call: Call) -> None:
        self._enter(call.path, Directory())

    def _write(self, call: Call) -> None:
        node = self._find(call.path)
        assert isinstance(node, File)
        node.change(call)

    _pwrite = _truncate = _write

    def _fsync(self, call: Call) -> None:
        node = self._find(call.path)
        assert isinstance(node, File)
        node.sync()

    def _fsyncdir(self, call: Call) -> None:
        node = self._find(call.path)
        assert isinstance(node, Directory)
        for change in [change for change in self._pending if change.touches(node)]:
            _perform(change, "synced")
            self._pending.remove(change)

    def _rename(self, call: Call) -> None:
        node = self._find(call.path)
        (source, old), (target, new) = self._locate(call.path), self._locate(call.other)
        self._change((source, old, None), (target, new, node))

    def _link(self, call: Call) -> None:
        self._enter(call.other, self._find(call.path))

    def _unlink(self, call: Call) -> None:
        self._change((*self._locate(call.path), None))

    _rmdir = _unlink

    def _enter(self, path: str, node: Node) -> None:
        self._change((*self._locate(path), node))

    def _change(self, *parts: tuple[Directory, str, Node | None]) -> None:
        changes = [Change((part,)) for part in parts] if self._torn else [Change(parts)]
        for change in changes:
            _perform(change, "entries")
        self._pending += changes

    def _find(self, path: str) -> Node:
        node: Node = self._root
        for name in Path(path).relative_to(self._base).parts:
            assert isinstance(node, Directory)
            node = node.entries[name]
        return node

    def _locate(self, path: str) -> tuple[Directory, str]:
        above = self._find(os.path.dirname(path))
        assert isinstance(above, Directory)
        return above, os.path.basename(path)

    # States --------------------------------------------------------------------------------------------------

    def states(self) -> Iterator[Tree]:
        """Each state that a cut right now may leave, equal ones once."""
        assert len(self._pending) <= _MOST_PENDING, f"{len(self._pending)} unsynced changes are too many to enumerate"
        seen: set[object] = set()
        for taken in itertools.product((True, False), repeat=len(self._pending)):
            entries = self._entries_with(list(itertools.compress(self._pending, taken)))
            for tree in _trees(self._root, entries):
                key = freeze(tree)
                if key not in seen:
                    seen.add(key)
                    yield tree

    def _entries_with(self, changes: list[Change]) -> dict[Directory, dict[str, Node]]:
        entries: dict[Directory, dict[str, Node]] = {}
        for change in changes:
            for directory, name, node in change.parts:
                _set(entries.setdefault(directory, dict(directory.synced)), name, node)
        return entries


def _perform(change: Change, which: str) -> None:
    for directory, name, node in change.parts:
        _set(getattr(directory, which), name, node)


def _set(entries: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        entries.pop(name, None)
    else:
        entries[name] = node


def _trees(root: Directory, entries: dict[Directory, dict[str, Node]]) -> Iterator[Tree]:
    """One tree for each way the unsynced files that are reachable may have come out."""
    unsynced = list(dict.fromkeys(_find_unsynced(root, entries)))
    whole = {file: file.content for file in unsynced}
    yield _tree(root, entries, whole)
    for file in unsynced:
        for content in _outcomes(file):
            yield _tree(root, entries, {**whole, file: content})
    if len(unsynced) > 1:
        yield _tree(root, entries, {file: file.synced for file in unsynced})


def _find_unsynced(node: Node, entries: dict[Directory, dict[str, Node]]) -> Iterator[File]:
    if isinstance(node, File):
        if node.content != node.synced:
            yield node
        return
    for inner in entries.get(node, node.synced).values():
        yield from _find_unsynced(inner, entries)


def _outcomes(file: File) -> Iterator[bytes]:
    yield file.synced
    yield file.content[: (len(file.synced) + len(file.content)) // 2]
    yield file.synced + bytes(len(file.content) - len(file.synced))
    for lost in file.since if len(file.since) > 1 else ():
        content = file.synced
        for call in file.since:
            content = content if call is lost else _after(content, call)
        yield content


def _after(content: bytes, call: Call) -> bytes:
    """A file with these bytes, after this call."""
    if call.name == "write":
        return content + call.data
    if call.name == "truncate":
        return content[: call.offset].ljust(call.offset, b"\0")
    return content[: call.offset].ljust(call.offset, b"\0") + call.data + content[call.offset + len(call.data) :]


def _tree(directory: Directory, entries: dict[Directory, dict[str, Node]], contents: dict[File, bytes]) -> Tree:
    tree: Tree = {}
    for name, node in entries.get(directory, directory.synced).items():
        tree[name] = _tree(node, entries, contents) if isinstance(node, Directory) else contents.get(node, node.synced)
    return tree


def _load(path: Path) -> Directory:
    entries: dict[str, Node] = {}
    for entry in path.iterdir():
        if entry.is_dir():
            entries[entry.name] = _load(entry)
        else:
            data = entry.read_bytes()
            entries[entry.name] = File(data, data)
    return Directory(entries, dict(entries))


# Trees -----------------------------------------------------------------------------------------------------------


def freeze(tree: Tree) -> frozenset[tuple[str, object]]:
    return frozenset((name, freeze(node) if isinstance(node, dict) else node) for name, node in tree.items())


def load_tree(path: Path) -> Tree:
    return {entry.name: load_tree(entry) if entry.is_dir() else entry.read_bytes() for entry in path.iterdir()}


def write_tree(tree: Tree, path: Path) -> None:
    """Put the tree on a real file system at `path`, which must not exist."""
    path.mkdir()
    for name, node in tree.items():
        if isinstance(node, dict):
            write_tree(node, path / name)
        else:
            (path / name).write_bytes(node)
