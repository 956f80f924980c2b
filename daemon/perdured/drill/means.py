"""The means of a drill: a signal that hits the right process, a byte that can be put right, room that comes back."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from perdured.contract import durable
from perdured.contract.checkpoint.store import list_checkpoints
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.errors import WrongState

ASIDE = "drill"
"""In the directory of checkpoints: where a file lies whose place a broken copy has taken."""
_MOST_AT_ONCE = 1 << 30
_LEAST_AT_ONCE = 1 << 12


def open_process(pid: int) -> int:
    """A pidfd: from here on no other process can be meant."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise _gone(pid) from None
    except PermissionError:
        why = "It belongs to another user, or to another container."
        raise WrongState(f"Process {pid} cannot be signalled from here.", why, "Run the drill as its user.") from None


def send(pidfd: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        raise WrongState("The process has ended meanwhile.", "", "Nothing was done; try again.") from None


def _gone(pid: int) -> WrongState:
    return WrongState(f"Process {pid} is gone.", "It ended before anything was done to it.", "Try again.")


class Broken(NamedTuple):
    """A checkpoint in which one byte is wrong, and the whole file."""

    checkpoint: Path
    file: Path
    aside: Path


def prepare_copy(root: Path) -> Broken:
    """The newest checkpoint's smallest file, copied with one byte inverted; it takes nobody's place yet.

    Raises WrongState where there is no older one to go back to: with a single one Perdure would rightly stop.
    """
    whole = [listed.path for listed in list_checkpoints(root) if verify_checkpoint(listed.path, hashes=False).is_valid]
    if len(whole) < 2:
        why = f"{root} holds {len(whole)} whole checkpoint{'' if len(whole) == 1 else 's'}, and one has to be left."
        raise WrongState("There is no checkpoint to spare.", why, "Wait until it has saved twice, and try again.")
    manifest = verify_checkpoint(whole[0], hashes=False).manifest
    assert manifest is not None
    entry = min((file for file in manifest.files if file.length), key=lambda file: file.length)
    aside = root / ASIDE / whole[0].name / entry.name
    durable.make_directories(aside.parent)
    data = bytearray((whole[0] / entry.name).read_bytes())
    data[len(data) // 2] ^= 0xFF
    durable.write_file(_copy_of(aside), bytes(data))
    return Broken(whole[0], whole[0] / entry.name, aside)


def break_checkpoint(broken: Broken) -> None:
    """The whole file goes aside, its copy with the wrong byte takes its place."""
    durable.rename_noreplace(broken.file, broken.aside)
    durable.rename_noreplace(_copy_of(broken.aside), broken.file)
    durable.fsync_directory(broken.file.parent)


def mend_checkpoint(broken: Broken) -> bool:
    """The whole file back to its place, if the checkpoint still lies there; else it stays aside, and False."""
    if not broken.file.exists() or not broken.aside.exists():
        return False
    durable.rename_noreplace(broken.file, _copy_of(broken.aside))
    durable.rename_noreplace(broken.aside, broken.file)
    durable.fsync_directory(broken.file.parent)
    drop_copy(broken)
    return True


def drop_copy(broken: Broken) -> None:
    """What was prepared and is not needed; the directories go with it if nothing else lies there."""
    with contextlib.suppress(FileNotFoundError):
        _copy_of(broken.aside).unlink()
    with contextlib.suppress(OSError):
        for folder in (broken.aside.parent, broken.aside.parent.parent):
            folder.rmdir()


def _copy_of(aside: Path) -> Path:
    return aside.with_name(f"{aside.name}.broken")


@contextlib.contextmanager
def fill_disk(directory: Path) -> Iterator[int]:
    """The disk is full until the end of the block; gives the bytes that were taken.

    They belong to a file without a name: whatever becomes of this process, the kernel gives them back.
    """
    try:
        descriptor = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        why = f"{error.strerror}: it takes no file without a name, so the room might not come back by itself."
        raise WrongState(f"The disk of {directory} cannot be filled safely.", why, "Nothing was done.") from None
    try:
        yield _take_all_room(descriptor)
    finally:
        os.close(descriptor)


def _take_all_room(descriptor: int) -> int:
    """In pieces that get smaller as room gets scarce."""
    taken, piece = 0, _MOST_AT_ONCE
    while piece >= _LEAST_AT_ONCE:
        try:
            os.posix_fallocate(descriptor, taken, piece)
            taken += piece
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            piece //= 2
    return taken
