"""Where a process is among the cgroups, version 2 and 1."""

from __future__ import annotations

MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
"""Where cgroup v2 is found: alone, or beside v1 on hybrid hosts."""


def parse_cgroups(text: str) -> dict[str, str]:
    """`/proc/PID/cgroup` as controller → path, without the leading slash; cgroup v2 has the controller ""."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path.lstrip("/")
    return found
