"""The program that becomes a user: all that it sheds, and that it begins nothing as anybody else."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perdured.processes.deputy import PROGRAM
from support.users import NOBODY_KNOWN

pytestmark = pytest.mark.root

GAMES = 5
"""Who has an account on every Debian, and groups: none."""
TELL = (
    '{ id -u; id -G; grep -E "^(Cap|NoNewPrivs|SigIgn|SigBlk)" /proc/self/status; ulimit -n; ulimit -Hn; umask; '
    'cat /proc/$$/oom_score_adj; ls /proc/$$/fd | tr "\\n" " "; echo; env; } >&0'
)


class Become:
    def __init__(self, log: Path) -> None:
        self.order: dict[str, Any] = {
            "uid": GAMES,
            "gid": 60,
            "name": "games",
            "directory": str(log.parent),
            "log": log.name,
            "limits": {"RLIMIT_NOFILE": (100, 200)},
            "argv": ["/bin/sh", "-c", TELL],
        }

    def run(self, **changes: object) -> list[str]:
        """What came back over the channel, in lines."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        leak = os.open("/etc/shadow", os.O_RDONLY)
        os.set_inheritable(leak, True)
        try:
            subprocess.run(
                [sys.executable, "-I", "-S", str(PROGRAM), json.dumps({**self.order, **changes})],
                stdin=theirs.fileno(),
                env={"ONLY": "this"},
                pass_fds=(leak,),
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 400)),
                timeout=30,
                check=False,
            )
        finally:
            os.close(leak)
            theirs.close()
        with ours:
            packets = iter(lambda: ours.recv(1 << 16), b"")
            return b"".join(packets).decode().splitlines()


@pytest.fixture
def become() -> Iterator[Become]:
    folder = Path("/tmp") / f"become-{os.getpid()}"
    folder.mkdir()
    os.chown(folder, GAMES, 60)
    yield Become(folder / "log")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_nothing_of_root_is_left(become: Become) -> None:
    told = become.run()
    assert told[:2] == ["5", "60"]
    status = dict(line.split(":\t") for line in told if ":\t" in line)
    assert {name: int(value, 16) for name, value in status.items() if name.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0
    )
    assert status["NoNewPrivs"] == "1"
    rest = [line for line in told[2:] if ":\t" not in line]
    assert rest[:4] == ["100", "200", "0022", "0"]
    assert set(rest[4].split()) <= {"0", "1", "2", "10"}  # dash keeps a copy of what it redirects as 10
    assert {line.partition("=")[0] for line in rest[5:]} <= {"ONLY", "PWD", "OLDPWD", "_", "SHLVL", "LC_CTYPE"}
    log = Path(become.order["directory"], "log").stat()
    assert (log.st_uid, log.st_mode & 0o777) == (GAMES, 0o600)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"uid": 0, "gid": 0, "name": "root"}, "root is nobody to become"),
        ({"limits": {"RLIMIT_NOFILE": (9, 8)}}, "ValueError"),
        ({"directory": "/root-of-nobody"}, "No such file"),
        ({"argv": ["/etc/shadow"]}, "/etc/shadow cannot be executed by that user: Permission denied"),
        ({"log": "../../etc/shadow"}, "Permission denied"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_begun(become: Become, changes: dict[str, Any], why: str) -> None:
    (told,) = become.run(**changes)
    assert json.loads(told)["type"] == "failed"
    assert why in json.loads(told)["why"]


def test_a_log_that_is_a_link_is_not_followed(become: Become) -> None:
    target = Path(become.order["directory"], "target")
    target.write_text("")
    os.chown(target, GAMES, 60)
    Path(become.order["directory"], "log").symlink_to(target)
    (told,) = become.run()
    assert "symbolic links" in json.loads(told)["why"]
    assert target.read_text() == ""


def test_the_proof_finds_every_way_back() -> None:
    """Asked of a process that has kept one: as root itself, and as a user with a capability or without the promise."""
    script = f"""
import ctypes, os, sys
sys.path.insert(0, {str(PROGRAM.parent)!r})
import become
def told(act):
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        except become.NotBecome:
            os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def kept_saved_id():
    os.initgroups("games", 60); os.setresgid(60, 60, 60); os.setresuid(5, 5, 0); become.prove(5, 60, "games")
def kept_group():
    os.setgroups([60, 4]); os.setresgid(60, 60, 60); os.setresuid(5, 5, 5); become.prove(5, 60, "games")
def kept_capability():
    ctypes.CDLL(None).prctl(8, ctypes.c_ulong(1), 0, 0, 0)
    os.initgroups("games", 60); os.setresgid(60, 60, 60); os.setresuid(5, 5, 5); become.prove(5, 60, "games")
def without_promise():
    os.initgroups("games", 60); os.setresgid(60, 60, 60); os.setresuid(5, 5, 5); become.prove(5, 60, "games")
def whole():
    become.shed_root({{}}); become.become(5, 60, "games"); become.prove(5, 60, "games")
acts = (lambda: become.prove(0, 0, "root"), kept_saved_id, kept_group, kept_capability, without_promise, whole)
print([told(act) for act in acts])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[7, 7, 7, 7, 7, 0]\n", done.stderr


def test_whom_the_system_does_not_know_has_no_groups_and_is_nobody_to_become(become: Become) -> None:
    (told,) = become.run(uid=NOBODY_KNOWN.uid, gid=NOBODY_KNOWN.gid, name="unknown-to-all", directory="/")
    assert json.loads(told)["type"] == "failed"
