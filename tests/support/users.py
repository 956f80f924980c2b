"""Two users of a machine, and a daemon of root that serves both, in a mount namespace that has accounts for them.

Nothing of the machine itself is changed: `/etc/passwd` and `/etc/group` of the namespace are files of the test. What
the daemon's interpreter needs, and lies where only root may go, is put where everybody may.
"""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

from perdured.client import Client

from .daemons import Daemon, wait_for
from .leftovers import MARK, read_command
from .sources import ROOT

T = TypeVar("T")
_NUMBERS = {
    "x86_64": {"setresuid": 117, "setresgid": 119, "setgroups": 116},
    "aarch64": {"setresuid": 147, "setresgid": 149, "setgroups": 159},
}


class User(NamedTuple):
    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """Besides the own."""


_FIRST = 1_000_000 + 8 * os.getpid()
"""Of the ids of this process's tests: no other test, and nobody else on the machine, has the same."""
ADA = User("ada", _FIRST + 1, _FIRST + 1, (_FIRST + 5,))
BEA = User("bea", _FIRST + 2, _FIRST + 2)
NOBODY_KNOWN = User("", _FIRST + 3, _FIRST + 3)
"""Without an account."""


def act_as(user: User, act: Callable[[], T]) -> T:
    """In a thread of its own, which alone is that user."""

    def become_and_act() -> T:
        libc, numbers = ctypes.CDLL(None), _NUMBERS[os.uname().machine]
        groups = (ctypes.c_uint32 * (len(user.groups) + 1))(user.gid, *user.groups)
        assert libc.syscall(numbers["setgroups"], len(groups), groups) == 0
        for name, id in (("setresgid", user.gid), ("setresuid", user.uid)):
            assert libc.syscall(numbers[name], id, id, id) == 0
        return act()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(become_and_act).result()


def list_processes_of(*users: User) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid in {user.uid for user in users} and (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


class Machine(Daemon):
    """A daemon of root for all users."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        _write_accounts(root)
        self.prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-euc", _make_script(root), "ns")

    def home(self, user: User) -> Path:
        """The state directory of the user's deputy."""
        return self.state / "users" / str(user.uid)

    def work(self, user: User) -> Path:
        """A folder of the user's own, as below a home that nobody else may enter."""
        folder = self.root / f"home-{user.name}"
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, user.uid, user.gid)
        return folder

    def ask(self, user: User, ask: Callable[[Client], T]) -> T:
        return act_as(user, lambda: ask(Client(self.socket)))

    def submit_as(self, user: User, command: list[str], spec: str = "", **env: str) -> str:
        """Returns the job's id."""
        text = f"command = {json.dumps(command)}\n{spec}"
        env = {"PATH": os.environ["PATH"], MARK: os.environ.get(MARK, ""), **env}
        folder = self.work(user)
        return self.ask(user, lambda client: client.submit(text, folder, env))["id"]

    def show_as(self, user: User, job: str) -> dict[str, Any]:
        return dict(self.ask(user, lambda client: client.show(job)))

    def run_as(self, user: User, *command: str) -> subprocess.CompletedProcess[str]:
        """A program in the daemon's namespace."""
        assert self.process is not None
        enter = ["nsenter", "--mount", "--target", str(self.process.pid), "--wdns", str(self.work(user))]
        identity = ["setpriv", "--reuid", str(user.uid), "--regid", str(user.gid), "--init-groups"]
        env = {"PATH": os.environ["PATH"], "PERDURE_SOCKET_PATH": str(self.socket), "HOME": str(self.work(user))}
        return subprocess.run(
            [*enter, *identity, *command], env=env, capture_output=True, text=True, timeout=60, check=False
        )

    def close(self) -> None:
        super().close()

        def is_clear() -> bool:
            """The deputies end by themselves, and must."""
            return not [pid for pid in list_processes_of(ADA, BEA) if "--deputy" in read_command(pid)]

        try:
            wait_for(is_clear, "the deputies to end with the daemon")
        finally:
            for pid in list_processes_of(ADA, BEA):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_for(lambda: not list_processes_of(ADA, BEA), "the end of what was killed")


@contextmanager
def open_machine() -> Iterator[Machine]:
    """Below a directory that everybody may enter, unlike pytest's own."""
    with TemporaryDirectory(prefix="perdure-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        machine = Machine(Path(folder))
        try:
            yield machine
        finally:
            machine.close()


def _write_accounts(root: Path) -> None:
    users = (ADA, BEA)
    lines = [f"{u.name}:x:{u.uid}:{u.gid}::{root}/home-{u.name}:/bin/sh\n" for u in users]
    (root / "passwd").write_text(Path("/etc/passwd").read_text() + "".join(lines))
    own = [f"{u.name}:x:{u.gid}:\n" for u in users]
    shared = [f"lab:x:{gid}:{u.name}\n" for u in users for gid in u.groups]
    (root / "group").write_text(Path("/etc/group").read_text() + "".join(own + shared))


def _make_script(root: Path) -> str:
    lines = [f"mount --bind {shlex.quote(str(root / name))} /etc/{name}" for name in ("passwd", "group")]
    for number, (closed, needed) in enumerate(_list_closed()):
        aside = shlex.quote(str(root / f"aside-{number}"))
        lines += [f"mkdir {aside} 2>/dev/null || true", f"mount --bind {needed} {aside}"]
        lines += [f"mount -t tmpfs -o mode=755 tmpfs {closed}", f"mkdir -p {needed}", f"mount --move {aside} {needed}"]
    return "; ".join([*lines, 'exec "$@"'])


def _list_closed() -> Iterator[tuple[str, str]]:
    """(a directory that not everybody may go through, what is needed below it)."""
    for needed in sorted({Path(sys.base_prefix), Path(sys.prefix), ROOT}):
        for parent in reversed(needed.resolve().parents):
            if not parent.stat().st_mode & 0o001:
                yield shlex.quote(str(parent)), shlex.quote(str(needed.resolve()))
                break
