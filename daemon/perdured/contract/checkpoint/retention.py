"""Deleting old checkpoints so that the last good ones cannot be lost.

At every moment, also after a crash between any two system calls, at least `max(2, keep)` checkpoints of a series are
left that were verified, if that many exist. Verified means: healthy, and every hash checked by this process since the
files last changed, and present with their sizes right now. The newest is checked first, so nothing older goes on the
word of one that cannot be read. Age and clock decide nothing.

What is not deleted: what is protected; what is corrupt, or cannot be judged (that is quarantine's matter, or a
person's); anything without COMMIT; anything that is not ours. If a listing fails or is empty, nothing at all.

Unhealthy ones do not count for the floor, as nobody resumes from them. They are evidence; the newest `keep` stay.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from perdured.contract.checkpoint.listing import Listed, list_checkpoints
from perdured.contract.checkpoint.manifest import Manifest
from perdured.contract.checkpoint.sweep import empty_trash, move_to_trash, sweep
from perdured.contract.checkpoint.verify import load_verdict, verify_checkpoint

FLOOR = 2

Held = tuple[Listed, Manifest]
_Identity = tuple[tuple[int, int, int, int, int], ...]

# Hashing all kept checkpoints after each save would read `keep` times what was written. So each is hashed once by a
# process, and again only if a file of it is another one since, or was written to.
_verified: set[_Identity] = set()


def retain(root: Path, keep: int, *, protect: Collection[Path] = ()) -> list[Path]:
    """Delete what is older than the newest `max(2, keep)` verified checkpoints of its series. Returns what went.

    Also sweeps trash and what dead writers left. Never raises OSError: what could not be deleted is still there.
    """
    try:
        listing = list_checkpoints(root)
    except OSError:
        return []
    if not listing:
        return []
    sweep(root)
    protected = {path.name for path in protect}
    expendable: list[Path] = []
    for held in _by_series(listing).values():
        expendable += [path for path in find_expendable(held, max(FLOOR, keep)) if path.name not in protected]
    return _delete(root, expendable)


def _by_series(listing: list[Listed]) -> dict[str, list[Held]]:
    """Those that say what they are; newest first, as listed."""
    series: dict[str, list[Held]] = defaultdict(list)
    for listed in listing:
        manifest = load_verdict(listed.path).manifest
        if manifest is not None:
            series[manifest.facts.series].append((listed, manifest))
    return series


def find_expendable(held: list[Held], floor: int) -> list[Path]:
    """Of one series, newest first: what may go. Reads the bytes of those that must stay, if anything may go."""
    healthy = [each for each in held if each[1].facts.healthy]
    unhealthy = [each for each in held if not each[1].facts.healthy]
    expendable = [listed.path for listed, _ in unhealthy[floor:]]
    if len(healthy) <= floor:
        return expendable
    good = 0
    for listed, manifest in healthy:
        if good >= floor:
            if verify_checkpoint(listed.path, hashes=False).is_valid:
                expendable.append(listed.path)
        elif _is_verified(listed.path, manifest):
            good += 1
        elif good == 0:
            return expendable  # the newest is not good: whatever happened to it, this is no time to delete
    return expendable


def _is_verified(path: Path, manifest: Manifest) -> bool:
    if not verify_checkpoint(path, hashes=False).is_valid:
        return False
    try:
        identity = _identify(path, manifest)
    except OSError:
        return False
    if identity not in _verified and verify_checkpoint(path).is_valid:
        _verified.add(identity)
    return identity in _verified


def _identify(path: Path, manifest: Manifest) -> _Identity:
    """Changes with every write to a file of the checkpoint, and every replacement."""
    statuses = [os.lstat(path / file.name) for file in manifest.files]
    return tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in statuses)


def _delete(root: Path, paths: list[Path]) -> list[Path]:
    gone: list[Path] = []
    trash: list[Path] = []
    for path in reversed(paths):
        with contextlib.suppress(OSError):
            trash.append(move_to_trash(path))
            gone.append(path)
    with contextlib.suppress(OSError):
        empty_trash(root, trash)
    return gone
