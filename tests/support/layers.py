"""The root of this machine with a writable layer over it, in a mount namespace of its own until it is closed. The
repository and the interpreter are bound in, read-only. Needs root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .sources import ROOT

_HOLD = """
set -eu
mount -t tmpfs -o mode=755 tmpfs "$BASE"
mkdir "$BASE/up" "$BASE/work" "$BASE/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$BASE/up,workdir=$BASE/work" "$BASE/root"
cd "$BASE/root"
# Another user has to come to the interpreter.
chmod 755 root
for place in "$@"; do
    mkdir -p ".$place"
    mount --bind "$place" ".$place"
    mount -o remount,bind,ro ".$place"
done
echo held
exec sleep infinity
"""


def can_mount() -> bool:
    tried = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


class LayeredRoot:
    """`base`, which must not exist, is where it is mounted: `base/root`."""

    def __init__(self, base: Path) -> None:
        base.mkdir()
        self.base = base
        self.root = base / "root"
        places = sorted({str(ROOT), sys.prefix, sys.base_prefix} - {"/", "/usr"})
        hold = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _HOLD, "hold", *places]
        env = {"PATH": os.environ["PATH"], "BASE": str(base)}
        self._holder = subprocess.Popen(hold, env=env, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "held\n"

    @property
    def enter(self) -> list[str]:
        """Before a command that is to see `base`."""
        return ["nsenter", "--target", str(self._holder.pid), "--mount", "--"]

    def find(self, path: str) -> Path:
        """A file of it, for this process."""
        return Path(f"/proc/{self._holder.pid}/root{self.root}{path}")

    def call(self, script: str) -> None:
        """Runs a script of the shell in its root directory, without changing the root."""
        command = [*self.enter, "sh", "-euc", f'cd "{self.root}"\n{script}']
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait(timeout=20)
        assert self._holder.stdout is not None
        self._holder.stdout.close()
