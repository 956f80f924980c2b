"""Who a process is. A PID is not an identity: it comes round again in seconds on a busy machine.

PID, start time and boot id together are one. The start time is counted in ticks since boot, so it repeats across
boots; that is what the boot id is for.

**Open first, verify second.** `pidfd_open` pins whatever holds the number now; only then its start time is read and
compared. If it matches, the pidfd is the right process for ever; the other way round leaves a gap.

Known limit: the start time has a grain of 10 ms, and PIDs of another PID namespace mean nothing here.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Identity(NamedTuple):
    pid: int
    start_time: int
    """Clock ticks since boot (proc(5), field 22 of stat)."""
    boot_id: str


class ProcessSeen(NamedTuple):
    state: str
    """One letter of proc(5); Z is a zombie, X is dead."""
    parent: int
    start_time: int

    @property
    def is_alive(self) -> bool:
        return self.state not in "ZX"


def parse_stat(text: str) -> ProcessSeen:
    """Reads `/proc/PID/stat`. The name in it may hold blanks and brackets, so fields count from its last bracket."""
    fields = text[text.rindex(")") + 2 :].split()
    return ProcessSeen(state=fields[0], parent=int(fields[1]), start_time=int(fields[19]))


def observe_process(pid: int) -> ProcessSeen | None:
    """None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return parse_stat(file.read())
    except (FileNotFoundError, ProcessLookupError):
        return None


def read_boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def identify(pid: int) -> Identity:
    """The identity of a process that the caller knows to be there: itself, or a child it has not reaped."""
    seen = observe_process(pid)
    if seen is None:
        raise ProcessLookupError(f"no process {pid}")
    return Identity(pid, seen.start_time, read_boot_id())


def open_process(identity: Identity) -> int | None:
    """A pidfd that is proven to be this very process, alive; None when it is gone. The caller closes it."""
    if identity.boot_id != read_boot_id():
        return None
    try:
        pidfd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    seen = observe_process(identity.pid)
    if seen is not None and seen.is_alive and seen.start_time == identity.start_time:
        return pidfd
    os.close(pidfd)
    return None
