"""What an attempt had that its successor needs: the ports it listened on, and the memory of GPUs.

Both are the kernel's and the driver's to take back when a process has died, and as a rule they have by the time that
it is looked. What they have not is waited for, a few seconds, and then called by its name.

Ports that the system chose (those of `ip_local_port_range`) do not count: the next attempt is given others. What was
held is known from a look now and then at an attempt that runs, so a port that was opened since the last one is not.
GPUs are asked through nvidia-ml-py, where it is installed.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from perdured.clock import read_uptime
from perdured.gpus import ask_driver
from perdured.keeper.identity import ProcessSeen, observe_process

TABLE_AGE = 5.0
"""Seconds for which one look at all processes serves every job."""
_LISTENING = "0A"


class Belongings(NamedTuple):
    pids: frozenset[int] = frozenset()
    ports: frozenset[int] = frozenset()
    at: float = 0.0
    """CLOCK_MONOTONIC."""


NOTHING = Belongings()


class Surveyor:
    """Looks at what attempts have. May be used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: dict[int, list[int]] = {}
        self._seen_at = float("-inf")

    def survey(self, leader: int) -> Belongings:
        pids = frozenset(self._list_tree(leader))
        return Belongings(pids, frozenset(find_own_ports(pids)), read_uptime())

    def _list_tree(self, leader: int) -> list[int]:
        with self._lock:
            if read_uptime() - self._seen_at >= TABLE_AGE:
                self._children, self._seen_at = _observe_children(), read_uptime()
            children = self._children
        tree = [leader]
        for pid in tree:
            tree += children.get(pid, [])
        return tree


def list_processes() -> Iterator[tuple[int, ProcessSeen]]:
    """All that live."""
    for name in os.listdir("/proc"):
        process = observe_process(int(name)) if name.isdigit() else None
        if process is not None and process.is_alive:
            yield int(name), process


def _observe_children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for pid, process in list_processes():
        children.setdefault(process.parent, []).append(pid)
    return children


# Ports ----------------------------------------------------------------------------------------------------------------


def find_own_ports(pids: Collection[int]) -> set[int]:
    """The ports that these listen on and that are theirs by choice."""
    sockets = {inode for pid in pids for inode in _list_sockets(pid)}
    if not sockets:
        return set()
    first, last = _read_chosen_range()
    return {port for inode, port in list_listening() if inode in sockets and not first <= port <= last}


def find_port_holder(port: int) -> str | None:
    """Who listens on it, in words; None where nobody does."""
    inodes = {inode for inode, other in list_listening() if other == port}
    if not inodes:
        return None
    for pid, _ in list_processes():
        if inodes & set(_list_sockets(pid)):
            return f"process {pid} ({_read_name(pid)})"
    return "another user's process"


def list_listening() -> Iterator[tuple[int, int]]:
    """(inode, port) of every listening TCP socket of this network namespace."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            yield from parse_listening(Path(f"/proc/net/{table}").read_text(encoding="ascii"))


def parse_listening(text: str) -> Iterator[tuple[int, int]]:
    for line in text.splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTENING:
            yield int(fields[9]), int(fields[1].rsplit(":", 1)[1], 16)


def _list_sockets(pid: int) -> Iterator[int]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("socket:["):
                yield int(target[8:-1])


def _read_chosen_range() -> tuple[int, int]:
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
    return int(first), int(last)


def _read_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "gone"


# GPUs -----------------------------------------------------------------------------------------------------------------


def find_gpu_memory(pids: Collection[int]) -> str | None:
    """The memory of GPUs that these still hold by the driver's word, in words; None where there is none, or no NVML."""
    if not pids:
        return None
    return ask_driver(lambda nvml: _find_gpu_memory(nvml, pids))


def _find_gpu_memory(nvml: Any, pids: Collection[int]) -> str | None:
    for number in range(nvml.nvmlDeviceGetCount()):
        device = nvml.nvmlDeviceGetHandleByIndex(number)
        for process in nvml.nvmlDeviceGetComputeRunningProcesses(device):
            if process.pid in pids and observe_process(process.pid) is None:
                held = (process.usedGpuMemory or 0) >> 20
                return f"{held} MiB of GPU {number} are still held by process {process.pid}, which is gone"
    return None


# Waiting --------------------------------------------------------------------------------------------------------------


def find_unreturned(had: Belongings) -> str | None:
    """What of it is still taken, in words."""
    for port in sorted(had.ports):
        holder = find_port_holder(port)
        if holder is not None:
            return f"port {port}, on which the attempt before listened, is taken by {holder}"
    return find_gpu_memory(had.pids)


def wait_for_return(had: Belongings, ceiling: float, pause: Callable[[float], object]) -> str | None:
    """What is still taken after `ceiling` seconds; None as soon as nothing is. Blocks."""
    until = read_uptime() + ceiling
    while (taken := find_unreturned(had)) is not None and read_uptime() < until:
        pause(0.05)
    return taken
