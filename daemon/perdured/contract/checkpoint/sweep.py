"""Deleting: what is deleted is first renamed to `.trash-…`, so that nothing half-deleted has a checkpoint's name.

A crash in the middle leaves trash, and the next sweep goes on. The rename is made durable before the first byte goes:
otherwise a power cut could bring the old name back, over a directory that is half empty.

A temporary directory goes only if its writer is dead (see `claims`), and by the same rename: should a lock not have
reached another machine, the writer there finds its directory gone and fails, instead of committing an emptied one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from perdured.contract import durable
from perdured.contract.checkpoint.claims import is_writer_alive
from perdured.contract.checkpoint.layout import format_trash, is_trash, parse_any_seq, parse_temporary


def move_to_trash(path: Path) -> Path:
    """Rename one of our directories so that it is trash. Not durable yet."""
    trash = path.with_name(format_trash(parse_any_seq(path.name) or 0, durable.make_token()))
    durable.rename_noreplace(path, trash)
    return trash


def empty_trash(root: Path, trash: list[Path]) -> None:
    """Delete for good. What cannot be deleted now stays trash for the next sweep."""
    if not trash:
        return
    durable.fsync_directory(root)
    for path in trash:
        with contextlib.suppress(OSError):
            durable.remove_tree(path)


def sweep(root: Path) -> None:
    """Delete trash and what dead writers left. Best effort: no OSError; what stays is swept another time."""
    with contextlib.suppress(OSError):
        entries = os.listdir(root)
        for entry in entries:
            with contextlib.suppress(OSError):
                _bury_dead_writer(root, entry)
        empty_trash(root, [root / entry for entry in os.listdir(root) if is_trash(entry)])


def _bury_dead_writer(root: Path, entry: str) -> None:
    seq = parse_temporary(entry)
    if seq is not None and not is_writer_alive(root, seq):
        move_to_trash(root / entry)
