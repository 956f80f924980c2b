"""A cgroup for one test: what it starts can be found and removed, whatever it makes in there itself."""

from __future__ import annotations

import contextlib
from pathlib import Path

from .daemons import wait_for

_ROOTS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/memory", "/sys/fs/cgroup")
_ENTER = 'for group in $GROUPS_OF_TEST; do mkdir -p "$group"; echo $$ > "$group/cgroup.procs"; done; exec "$@"'


class TestCgroup:
    """In each hierarchy that a service manager uses."""

    __test__ = False

    def __init__(self, name: str) -> None:
        self._groups = [Path(root, name) for root in _ROOTS if Path(root, "cgroup.procs").exists()]

    def wrap(self, *command: str) -> list[str]:
        """The command, as a process of the cgroup from its first instruction on."""
        script = _ENTER.replace("$GROUPS_OF_TEST", " ".join(str(group) for group in self._groups))
        return ["sh", "-euc", script, "sh", *command]

    def remove(self) -> None:
        wait_for(self._is_removed, "the cgroups to be empty")

    def _is_removed(self) -> bool:
        for group in self._groups:
            for folder in sorted(group.rglob("*/"), reverse=True):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        return not any(group.exists() for group in self._groups)
