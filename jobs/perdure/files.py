"""Files beside the checkpoints, for other tools to read: changed in one step, never half written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from perdured.contract import durable


def replace_file(path: Path, buffers: Iterable[durable.Buffer]) -> None:
    """Make `path` a file of these bytes. Errors: OSError, and `path` is as before."""
    with _replaced(path) as temporary:
        durable.create_file(temporary, buffers)


def replace_by_link(path: Path, target: Path) -> None:
    """Make `path` the file `target` under another name, or a copy of it where links do not work. Errors: OSError."""
    with _replaced(path) as temporary:
        try:
            os.link(target, temporary)
        except OSError:
            durable.create_file(temporary, _read(target))


def _read(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            yield piece


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """A name beside `path` whose file, if the block succeeds, takes its place."""
    durable.make_directories(path.parent)
    temporary = path.with_name(f".{path.name}.tmp-{durable.make_token()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    durable.fsync_directory(path.parent)
