"""Files beside the checkpoints, for other tools to read: changed in one step, never half written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from perdured.contract import durable


def replace_file(path: Path, buffers: Iterable[durable.Buffer]) -> None:
    """Make `path` a file of these bytes. Errors: OSError, and `path` is as before."""
    durable.make_directories(path.parent)
    durable.write_buffers(path, buffers)


def replace_by_link(path: Path, target: Path) -> None:
    """Make `path` the file `target` under another name, or a copy of it where links do not work. Errors: OSError."""
    durable.make_directories(path.parent)
    temporary = path.with_name(f".{path.name}.tmp-{durable.make_token()}")
    try:
        os.link(target, temporary)
    except OSError:
        replace_file(path, read_blocks(target))
        return
    try:
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # there only if it could not be moved, or was the same file already
    durable.fsync_directory(path.parent)


def read_blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, a megabyte at a time. Errors: OSError."""
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            yield piece
