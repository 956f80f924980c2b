"""A machine for one test, booted by a real systemd as process 1 with logind and D-Bus, and booted again after it went
down: the root of this one with a writable layer over it (`layers.py`), which survives a reboot. Each boot has its own
processes, network and cgroups, and all that runs there dies with it. Needs root.

Known limit: the kernel is one and the same, and with it the boot id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .cgroups import TestCgroup
from .daemons import BIN, wait_for
from .layers import LayeredRoot, can_mount

_NEEDED = (
    "/lib/systemd/systemd",
    "/lib/systemd/systemd-logind",
    "/lib/systemd/system/user@.service",
    "/usr/bin/dbus-daemon",
)


def find_lack() -> str | None:
    """Why no machine can be booted here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in _NEEDED if not Path(name).exists()]
    missing += [name for name in ("unshare", "nsenter", "pivot_root", "mount") if not shutil.which(name)]
    if missing:
        return f"needs systemd with logind, D-Bus and util-linux; missing: {', '.join(missing)}"
    return None if can_mount() else "may not mount here"


_STRIP = """
# Nothing of this machine's own services, and nothing that clears a directory that a test looks into.
rm -rf etc/systemd/system etc/systemd/user etc/rc?.d etc/fstab
mkdir -p etc/systemd/system etc/tmpfiles.d
ln -s /lib/systemd/system/multi-user.target etc/systemd/system/default.target
ln -s /dev/null etc/tmpfiles.d/tmp.conf
for unit in e2scrub_reap.service getty@tty1.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer; do
    ln -s /dev/null "etc/systemd/system/$unit"
done
: > etc/machine-id
"""

_BOOT = """
set -eu
cd "$BASE/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for node in null zero full random urandom tty; do
    : > "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
mkdir -p .old
pivot_root . .old
cd /
umount -l /.old
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
    systemd.log_target=journal systemd.show_status=no
"""


class Machine:
    def __init__(self, base: Path) -> None:
        self._cgroup = TestCgroup(f"test-{os.getpid()}-{base.name}")
        self._layers = LayeredRoot(base)
        self._layers.call(_STRIP)
        self._outer: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Returns when all that starts with the machine has been started."""
        inner = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--cgroup"]
        command = self._cgroup.wrap(*self._layers.enter, *inner, "sh", "-c", _BOOT)
        env = {"PATH": os.environ["PATH"], "BASE": str(self._layers.base)}
        self._outer = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL)
        wait_for(self._find_inner, "process 1")
        wait_for(lambda: self.control("is-system-running") in ("running", "degraded"), "the machine to be up", 60)

    def _find_inner(self) -> str:
        """The PID of process 1 outside of its namespace; empty as long as there is none."""
        assert self._outer is not None
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        return children.read_text().strip() if children.exists() else ""

    def run(self, *command: str, user: str = "") -> str:
        """What a command prints that root, or another user, runs there."""
        done = self.call(*command, user=user)
        return done.stdout.strip()

    def call(self, *command: str, user: str = "") -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "--target", self._find_inner(), "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup"]
        who = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"] if user else []
        env = {"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        return subprocess.run(
            [*enter, "--", *who, *command], env=env, capture_output=True, text=True, timeout=50, check=False, cwd="/"
        )

    def control(self, *arguments: str) -> str:
        return self.run("systemctl", *arguments)

    def find(self, path: str) -> Path:
        """Of a file of the machine, also while it is down."""
        return self._layers.find(path)

    def wait_until_down(self, ceiling: float = 60.0) -> None:
        assert self._outer is not None
        self._outer.wait(timeout=ceiling)

    def close(self) -> None:
        if self._outer is not None:
            self._outer.kill()
            self._outer.wait(timeout=20)
        self._layers.close()
        self._cgroup.remove()


@contextlib.contextmanager
def run_machine(base: Path) -> Iterator[Machine]:
    """A machine that has not been booted yet."""
    machine = Machine(base)
    try:
        yield machine
    finally:
        machine.close()
