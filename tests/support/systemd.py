"""A real `systemd --user` for one test, in mount and PID namespaces of its own: nothing of the machine's is touched,
and all that it started dies with it. Needs root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .cgroups import TestCgroup
from .daemons import wait_for

SYSTEMD = next((path for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if Path(path).exists()), None)
CAN_RUN = SYSTEMD is not None and os.geteuid() == 0 and shutil.which("unshare") and shutil.which("nsenter")

_UNSHARE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "--kill-child")
_BOOT = """
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system "$XDG_RUNTIME_DIR"
chmod 700 "$XDG_RUNTIME_DIR"
"$SYSTEMD" --user  # as a child: PID 1 is refused
exit $?
"""


class UserManager:
    """One user's service manager."""

    def __init__(self, home: Path) -> None:
        self.units = home / "config" / "systemd" / "user"
        self.units.mkdir(parents=True)
        self._home = home
        self._cgroup = TestCgroup(f"test-{os.getpid()}-{home.name}")
        self._outer = subprocess.Popen(self._cgroup.wrap(*_UNSHARE, "sh", "-euc", _BOOT), env=self._env)

    @property
    def _env(self) -> dict[str, str]:
        own = {"HOME": self._home, "XDG_CONFIG_HOME": self._home / "config", "PERDURE_STATE_DIR": self._home / "state"}
        run = {"XDG_RUNTIME_DIR": "/run/user/test", "PERDURE_SOCKET_PATH": "/run/user/test/perdure/perdured.sock"}
        plain = {"PATH": os.environ["PATH"], "SYSTEMD": SYSTEMD or ""}
        return {**plain, **run, **{name: str(path) for name, path in own.items()}}

    def run(self, *command: str) -> str:
        """What a command prints that is run beside the manager."""
        enter = ["nsenter", "--target", self._find_inner(), "--mount", "--pid", "--"]
        done = subprocess.run(
            [*enter, *command], env=self._env, capture_output=True, text=True, timeout=50, check=False
        )
        return done.stdout.strip()

    def _find_inner(self) -> str:
        """The manager's PID outside of its namespace; empty as long as there is none."""
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        return children.read_text().strip()

    def control(self, *arguments: str) -> str:
        return self.run("systemctl", "--user", *arguments)

    def wait_until_up(self) -> None:
        wait_for(self._find_inner, "the manager to start")
        wait_for(lambda: self.control("is-system-running") in ("running", "degraded"), "the manager to be up")

    def wait_until_gone(self, ceiling: float) -> None:
        self._outer.wait(timeout=ceiling)

    def close(self) -> None:
        self._outer.kill()
        self._outer.wait(timeout=20)
        self._cgroup.remove()


@contextlib.contextmanager
def run_user_manager(home: Path) -> Iterator[UserManager]:
    manager = UserManager(home)
    try:
        manager.wait_until_up()
        yield manager
    finally:
        manager.close()
