"""A cgroup v2 leaf per attempt, where this machine lets us have one.

setsid, nohup and a double fork do not leave a cgroup, and `cgroup.kill` empties it at one blow; so where there is a
leaf, nothing of an attempt can hide, even after its keeper is gone. Where there is none (no cgroup v2, no right to
make a child of our own cgroup, a kernel before 5.14) the keeper's subreaper does the work alone.

The keeper itself stays outside the leaf: a job that eats all memory must not take its keeper with it. No controller is
switched on by us: a unit of systemd that restarts with jobs inside could not take it back. Where somebody else has
switched on that of memory, the leaf has a limit as well (`limit_memory`).

`read_oom_kills` looks at the *memory* cgroup, v2 or v1, which a whole container may share: its count is evidence for
why a leader got SIGKILL, not proof.
"""

from __future__ import annotations

import contextlib
import os

from perdured.contract.cgroups import MOUNTS, parse_cgroups

_FREEZER = "/sys/fs/cgroup/freezer"
_MEMORY_LIMITS = (
    (MOUNTS[0], "", "memory.max"),
    (MOUNTS[1], "", "memory.max"),
    ("/sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes"),
)
_OOM_COUNTERS = (
    (MOUNTS[0], "", "memory.events"),
    (MOUNTS[1], "", "memory.events"),
    ("/sys/fs/cgroup/memory", "memory", "memory.oom_control"),
)


def make_leaf(name: str) -> str | None:
    """A new cgroup `name` beneath our own, or None where that is not possible. Never one that is there already:
    whoever is in it would be killed with the attempt."""
    for mount in MOUNTS:
        path = _find_path(mount, "", os.getpid())
        if path is None:
            continue
        leaf = os.path.join(mount, path, name)
        with contextlib.suppress(OSError):
            os.mkdir(leaf, 0o755)
            if os.access(f"{leaf}/cgroup.kill", os.W_OK) and os.access(f"{leaf}/cgroup.procs", os.W_OK):
                return leaf
            os.rmdir(leaf)
    return None


def limit_memory(leaf: str, limit: int) -> bool:
    """From now on its processes have at most so many bytes together; False where this machine does not let us."""
    try:
        _write(f"{leaf}/memory.max", str(limit))
    except OSError:
        return False
    return True


def join(leaf: str, pid: int) -> None:
    """Raises OSError, for instance where the kernel allows no such move."""
    _write(f"{leaf}/cgroup.procs", str(pid))


def kill_all(leaf: str) -> None:
    """SIGKILL to every process in it. Nothing happens when it is gone already."""
    with contextlib.suppress(OSError):
        _write(f"{leaf}/cgroup.kill", "1")


def list_members(leaf: str) -> set[int]:
    """The PIDs in it; empty when it is gone."""
    try:
        with open(f"{leaf}/cgroup.procs", encoding="ascii") as file:
            return {int(line) for line in file}
    except OSError:
        return set()


def is_populated(leaf: str) -> bool:
    """True while a process, or a cgroup beneath it with one, is in it."""
    try:
        with open(f"{leaf}/cgroup.events", encoding="ascii") as file:
            return "populated 1" in file.read()
    except OSError:
        return False  # removed, and with it the last process in it


def is_frozen(pid: int) -> bool:
    """True while the freezer holds its cgroup, v2 or v1, or one above it."""
    for mount in MOUNTS:
        path = _find_path(mount, "", pid)
        if path is not None and "frozen 1" in _read(os.path.join(mount, path, "cgroup.events")):
            return True
    path = _find_path(_FREEZER, "freezer", pid)
    return path is not None and _read(os.path.join(_FREEZER, path, "freezer.state")).strip() in ("FREEZING", "FROZEN")


def open_events(leaf: str) -> int | None:
    """A descriptor that becomes readable for POLLPRI when `is_populated` may have changed. Read it to re-arm."""
    try:
        return os.open(f"{leaf}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def remove(leaf: str) -> None:
    """Removes an empty leaf and empty cgroups that the job made in it. One that is not empty stays."""
    with contextlib.suppress(OSError):
        for directory, _, _ in os.walk(leaf, topdown=False):
            os.rmdir(directory)


def read_oom_kills() -> int | None:
    """How often the kernel has killed for memory in our memory cgroup, which is the job's too; None: nobody knows."""
    for mount, controller, name in _OOM_COUNTERS:
        path = _find_path(mount, controller, os.getpid())
        while path is not None:
            count = _read_count(os.path.join(mount, path, name))
            if count is not None:
                return count
            # Without the controller of its own, a cgroup is part of its parent's.
            path = os.path.dirname(path) if path else None
    return None


def read_memory_limit(pid: int) -> float | None:
    """Bytes that its memory cgroup, v2 or v1, and those above allow; infinite where none does, None when it is gone."""
    limits = [float("inf")]
    for mount, controller, name in _MEMORY_LIMITS:
        path = _find_path(mount, controller, pid)
        while path:
            text = _read(os.path.join(mount, path, name)).strip()
            limits += [float(text)] if text.isdecimal() else []
            path = os.path.dirname(path)
    return min(limits) if os.path.exists(f"/proc/{pid}") else None


def _find_path(mount: str, controller: str, pid: int) -> str | None:
    """The path of `pid` beneath this mount; None when the mount or the process is not there."""
    if not os.path.exists(f"{mount}/cgroup.procs"):
        return None
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            return parse_cgroups(file.read()).get(controller)
    except (FileNotFoundError, ProcessLookupError):
        return None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _read_count(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            pairs = dict(line.split() for line in file)
    except (OSError, ValueError):
        return None
    return int(pairs["oom_kill"]) if "oom_kill" in pairs else None


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
