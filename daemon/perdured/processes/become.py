"""A program: started by root, it becomes a user for ever, and then the program that it was told.

It is executed, and not a function between fork and exec: the daemon has threads, and what a fork of those may do is
little. Only the standard library, with `-I -S`.

Order and reasons
-----------------
1. What only root may do: the score of the out-of-memory killer, the priority, the limits, the bounding set, and a
   session keyring of its own (else that of root would be possessed by the user).
2. Groups before the group id, and that before the user id: afterwards none of them can be changed. All three of each
   (real, effective, saved).
3. No capability is left in any set, and none can come back: `no_new_privs` holds for all that it executes, for ever.
4. It is proven that there is no way back, by asking for it. Anything that is not as it must be ends it, before
   a single instruction of the user's runs.
5. Only then something of the user's is touched: the log is opened with the user's own rights.

It gets nothing of root's: every descriptor but the channel (0) is closed, signals are as at a login, and the
environment is the one that it was started with, made from scratch by the daemon. What it cannot do it says on the
channel.
"""

from __future__ import annotations

import contextlib
import ctypes
import grp
import json
import os
import platform
import resource
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION = 0x20080522
_MOST_CAPABILITIES = 64
_JOIN_SESSION_KEYRING = 1
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_NICE_BY_DEFAULT = 0
_libc = ctypes.CDLL(None, use_errno=True)


class NotBecome(Exception):
    """Why it is not that user."""


def main(text: str) -> NoReturn:
    try:
        order = json.loads(text)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        shed_root(order["limits"])
        become(order["uid"], order["gid"], order["name"])
        prove(order["uid"], order["gid"], order["name"])
        _go_to_work(order)
    except (NotBecome, OSError, ValueError, KeyError, TypeError) as error:
        _tell(f"{type(error).__name__}: {error}" if not isinstance(error, (NotBecome, OSError)) else str(error))
        sys.exit(1)


def shed_root(limits: Mapping[str, tuple[int, int]]) -> None:
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("0")
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, _NICE_BY_DEFAULT)
    for name, (soft, hard) in limits.items():
        resource.setrlimit(getattr(resource, name), (soft, hard))
    os.umask(0o022)
    _prctl(_PR_SET_SECUREBITS, 0, required=False)  # not everybody may, and `prove` looks at what follows from them
    _prctl(_PR_SET_KEEPCAPS, 0)
    for capability in range(_MOST_CAPABILITIES):
        _prctl(_PR_CAPBSET_DROP, capability, required=False)
    if platform.machine() in _KEYCTL:
        _libc.syscall(_KEYCTL[platform.machine()], _JOIN_SESSION_KEYRING, None)


def become(uid: int, gid: int, name: str) -> None:
    if uid == 0:
        raise NotBecome("root is nobody to become")
    os.initgroups(name, gid)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, required=False)
    _drop_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def prove(uid: int, gid: int, name: str) -> None:
    """Raises NotBecome."""
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3:
        raise NotBecome(f"the ids are {os.getresuid()} and {os.getresgid()}")
    if set(os.getgroups()) | {gid} != set(os.getgrouplist(name, gid)):
        raise NotBecome(f"the groups are {[_name_group(group) for group in os.getgroups()]}")
    for go_back in (lambda: os.setuid(0), lambda: os.setresuid(-1, 0, -1), lambda: os.setgroups([])):
        _refuse_way_back(go_back)
    with open("/proc/self/status", "rb") as file:  # as bytes: a codec would be imported now, with the user's rights
        lines = file.read().decode(errors="replace").splitlines()
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    kept = {name: fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(fields[name], 16)}
    if kept or fields["NoNewPrivs"].strip() != "1":
        raise NotBecome(f"capabilities are left ({kept}), or new ones are possible")


def _refuse_way_back(go_back: Callable[[], None]) -> None:
    try:
        go_back()
    except PermissionError:
        return
    raise NotBecome("there is a way back to root")


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    none = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, none) != 0:
        raise NotBecome(f"the capabilities could not be dropped: {os.strerror(ctypes.get_errno())}")


def _prctl(option: int, value: int, *, required: bool = True) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0 and required:
        raise NotBecome(f"prctl {option} failed: {os.strerror(ctypes.get_errno())}")


def _name_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _go_to_work(order: Mapping[str, Any]) -> NoReturn:
    """With the user's rights from here on. What goes wrong names the path, so it is told whose right is lacking."""
    os.chdir(order["directory"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    log = os.open(order["log"], flags, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.chdir("/")
    try:
        os.execv(order["argv"][0], order["argv"])  # noqa: S606
    except OSError as error:
        program = order["argv"][0]
        raise NotBecome(f"{program} cannot be executed by that user: {error.strerror}") from None


def _tell(why: str) -> None:
    with contextlib.suppress(OSError):
        socket.socket(fileno=os.dup(0)).send(json.dumps({"type": "failed", "why": why}).encode())


if __name__ == "__main__":
    main(sys.argv[1])
