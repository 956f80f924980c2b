"""Whether a directory can hold what must not be lost. What was tried there counts; the kind of file system says what a
trial on a quiet day cannot show: that it goes with the machine, or that its locks stop nobody on another one.
"""

from __future__ import annotations

from typing import NamedTuple

from perdured.core.mounts import FileSystem
from perdured.core.units import human_size

from .finding import Finding

LEAST_ROOM = 16 << 20
"""Bytes: below that no attempt is started."""
_LEAST_INODES = 1000
_GONE_WITH_THE_MACHINE = ("tmpfs", "ramfs", "devtmpfs")
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "glusterfs", "beegfs", "gpfs", "afs", "virtiofs")
_LOCKS_STAY_HERE = ("nolock", "local_lock=all", "local_lock=flock", "local_lock=posix", "localflock", "noflock")
"""Options of nfs(5) and of Lustre with which a lock is only seen on the machine that took it."""
_BUCKETS = ("fuse.s3fs", "fuse.goofys", "fuse.gcsfuse", "fuse.mount-s3", "fuse.rclone", "fuse.blobfuse", "fuse.geesefs")


class Probe(NamedTuple):
    """What came of trying, in the directory itself or in the nearest one above that is there."""

    error: str | None = None
    """Why nothing could be written; None: something could."""
    locks: bool = True
    """A file that is locked was found locked."""
    syncs: bool = True
    renames: bool = True
    """A rename refused to replace what was there."""


class Room(NamedTuple):
    free: int
    """Bytes that this user may still write."""
    inodes: int | None = None
    """Files that may still be made; None where there is no limit."""


class Place(NamedTuple):
    """A directory, and what lies there."""

    role: str
    """ "checkpoints of gpt", "state"."""
    path: str
    file_system: FileSystem | None


def judge_place(place: Place, probe: Probe) -> Finding:
    check, kind = place.role, place.file_system.kind if place.file_system else "unknown"
    where = f"{place.path} ({kind})"
    if probe.error is not None:
        todo = "Give the user that runs the job the right to write there, or choose another directory."
        return Finding("storage", check, "problem", f"Nothing can be written to {where}.", probe.error, todo)
    lacks = _find_lacks(place.file_system, probe)
    if lacks:
        todo = "Keep checkpoints on a local disk, and copies elsewhere with `checkpoint.remote`."
        return Finding("storage", check, "problem", f"{where} cannot hold checkpoints safely.", lacks, todo)
    return _judge_kind(check, where, kind)


def judge_room(place: Place, room: Room, size: int | None, more: int) -> Finding:
    """`more` checkpoints of `size` bytes are still to come before the first one goes."""
    check, free = f"room for {place.role}", human_size(room.free)
    needed = max((size or 0) * more, LEAST_ROOM)
    todo = "Free some room, lower `checkpoint.keep`, or choose another disk."
    if room.free < needed:
        what = f"{free} are free in {place.path}, and {human_size(needed)} will be needed."
        why = f"{more} more of {human_size(size)} each come before the oldest goes." if size else _SAY_LEAST
        return Finding("storage", check, "problem", what, why, todo)
    if room.inodes is not None and room.inodes < _LEAST_INODES:
        what = f"Only {room.inodes} more files can be made in {place.path}."
        return Finding("storage", check, "problem", what, "The file system has no more inodes.", todo)
    return Finding("storage", check, "ok", f"{free} are free{_tell_need(needed, size, more)}.")


_SAY_LEAST = "With less than that no attempt is started."


def _tell_need(needed: int, size: int | None, more: int) -> str:
    if not more:
        return ""
    return f", and {human_size(needed)} will be needed" if size else "; there is no checkpoint yet to reckon with"


def _find_lacks(file_system: FileSystem | None, probe: Probe) -> str:
    options = file_system.options if file_system else frozenset()
    local = sorted(options & set(_LOCKS_STAY_HERE))
    said = [
        "" if probe.locks else "A lock that was taken there does not hold, so two runs could write at once.",
        f"It is mounted with {', '.join(local)}: its locks stop nobody on another machine." if local else "",
        "" if probe.syncs else "It refuses fsync: what was written can be lost with the power.",
        "" if probe.renames else "A rename there replaces what it must not.",
        "It is a bucket that looks like a disk: renames are copies, and no lock holds."
        if file_system and file_system.kind in _BUCKETS
        else "",
    ]
    return " ".join(text for text in said if text)


def _judge_kind(check: str, where: str, kind: str) -> Finding:
    if kind in _GONE_WITH_THE_MACHINE:
        why = "It lies in memory: a restart of the machine takes it."
        return Finding("storage", check, "problem", f"{where} does not outlive the machine.", why, "Choose a disk.")
    if kind == "overlay":
        why = "It is the container's own layer, which goes with the container."
        todo = "Mount a volume there, or copy checkpoints away with `checkpoint.remote`."
        return Finding("storage", check, "warning", f"{where} does not outlive the container.", why, todo)
    if kind in _NETWORK:
        why = "A server that does not answer holds up saves; how long one takes depends on who else uses it."
        todo = "Nothing, if that is wanted; `perdure checkpoint JOB --before 30s` says what a save takes there."
        what = f"{where} is a network file system; locks and fsync work."
        return Finding("storage", check, "warning", what, why, todo)
    return Finding("storage", check, "ok", f"{where}: writes, syncs, locks and renames work.")
