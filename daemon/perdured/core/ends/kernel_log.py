"""What the kernel says of a death: lines of its log, as text, to values.

A process id there is one of the host. In a container it may be another's than the one we know, so a line that names
a process is proof only when it names ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

_XID = re.compile(r"NVRM: Xid \((?:PCI:)?(?P<gpu>[^)]*)\): (?P<code>\d+)(?:, pid='?(?P<pid>\d+))?")
_OOM_KILL = re.compile(r"(?:Out of memory|Memory cgroup out of memory): Kill(?:ed)? process (?P<pid>\d+)")
_FAULT = re.compile(
    r"(?:traps: )?\S+\[(?P<pid>\d+)\]?:? (?:segfault at|trap |general protection|bad frame|int3|invalid opcode)"
)


class KernelFact(NamedTuple):
    kind: Literal["xid", "oom_kill", "fault"]
    line: str
    pid: int | None
    """The process it is about; None where the line names none."""
    xid: int | None = None


def parse_kernel_line(line: str) -> KernelFact | None:
    """None for a line that tells nothing of how a process ended."""
    if found := _XID.search(line):
        pid = int(found["pid"]) if found["pid"] else None
        return KernelFact("xid", line, pid, int(found["code"]))
    if found := _OOM_KILL.search(line):
        return KernelFact("oom_kill", line, int(found["pid"]))
    if found := _FAULT.search(line):
        return KernelFact("fault", line, int(found["pid"]))
    return None


def parse_kernel_lines(lines: Iterable[str]) -> list[KernelFact]:
    facts = (parse_kernel_line(line) for line in lines)
    return [fact for fact in facts if fact is not None]


class LogRecord(NamedTuple):
    """A record of /dev/kmsg."""

    uptime: float
    """Seconds since boot, by the kernel's own clock."""
    text: str


def parse_kmsg(data: str) -> LogRecord | None:
    """One read of /dev/kmsg: "priority,sequence,microseconds,flags;text", continued by indented lines."""
    head, semicolon, rest = data.partition(";")
    fields = head.split(",")
    if not semicolon or len(fields) < 3 or not fields[2].isdecimal():
        return None
    return LogRecord(int(fields[2]) / 1e6, rest.split("\n", 1)[0])
