"""What installing and removing the service takes, as data: files with their text, and commands. Pure.

Rules. Only files that are ours are written and removed; what a person changes belongs into drop-ins (`systemctl edit`),
which stay. Each step may be done twice. Nothing here stops a job: the state directory, the account and its running
service manager stay when the service is removed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

ACCOUNT = "perdure"
"""What the system's daemon runs as; named by the unit and by sysusers.d."""
UNIT = "perdured.service"
SYSTEM_UNITS = PurePosixPath("/etc/systemd/system")
SYSUSERS = PurePosixPath("/etc/sysusers.d/perdure.conf")
TMPFILES = PurePosixPath("/etc/tmpfiles.d/perdure.conf")
LINGER = PurePosixPath("/var/lib/systemd/linger")
_OWN_DROP_IN = "10-perdure.conf"

_AFTER_ITS_MANAGER = """\
# Written by `perdure service install`: the account's service manager, which its keepers are units of, is there before
# the daemon, and at shutdown stops after it.
[Unit]
Wants=user@{uid}.service
After=user@{uid}.service
"""
_TIME_FOR_KEEPERS = """\
# Written by `perdure service install`: each keeper has its own time to stop; the manager's must not cut it short.
[Service]
TimeoutStopSec=1h
"""


class Write(NamedTuple):
    path: PurePosixPath
    text: str


class Remove(NamedTuple):
    path: PurePosixPath


class Call(NamedTuple):
    command: tuple[str, ...]
    is_needed: bool = True
    """Where it is not, its failure is told and the rest is done."""


Step = Write | Remove | Call


class Files(NamedTuple):
    """The texts that come with Perdure."""

    unit: str
    sysusers: str = ""
    tmpfiles: str = ""


def plan_account(files: Files) -> tuple[Step, ...]:
    """The account of the system's daemon. Only then its number is known, which the rest needs."""
    return (
        Write(SYSUSERS, files.sysusers),
        Call(("systemd-sysusers", str(SYSUSERS))),
        Write(TMPFILES, files.tmpfiles),
        Call(("systemd-tmpfiles", "--create", str(TMPFILES))),
    )


def plan_system(files: Files, program: str, uid: int, *, now: bool) -> tuple[Step, ...]:
    return (
        Write(SYSTEM_UNITS / UNIT, set_program(files.unit, program)),
        *(Write(path, text) for path, text in list_drop_ins(uid).items()),
        Call(("systemctl", "daemon-reload")),
        Call(("loginctl", "enable-linger", ACCOUNT)),
        *plan_start(("systemctl",), now=now),
    )


def plan_user(files: Files, program: str, units: PurePosixPath, *, now: bool) -> tuple[Step, ...]:
    return (
        Write(units / UNIT, set_program(files.unit, program)),
        Call(("systemctl", "--user", "daemon-reload")),
        Call(("loginctl", "enable-linger"), is_needed=False),
        *plan_start(("systemctl", "--user"), now=now),
    )


def plan_start(control: tuple[str, ...], *, now: bool) -> tuple[Step, ...]:
    """A daemon that runs is replaced, since what it runs may be another version; its jobs run on."""
    enable = Call((*control, "enable", "--quiet", UNIT))
    return (enable, Call((*control, "restart", UNIT))) if now else (enable,)


def plan_removal_from_system(uid: int | None) -> tuple[Step, ...]:
    drop_ins = list_drop_ins(uid) if uid is not None else {}
    return (
        Call(("systemctl", "disable", "--quiet", "--now", UNIT), is_needed=False),
        *map(Remove, (SYSTEM_UNITS / UNIT, *drop_ins, SYSUSERS, TMPFILES, LINGER / ACCOUNT)),
        Call(("systemctl", "daemon-reload")),
    )


def plan_removal_from_user(units: PurePosixPath) -> tuple[Step, ...]:
    return (
        Call(("systemctl", "--user", "disable", "--quiet", "--now", UNIT), is_needed=False),
        Remove(units / UNIT),
        Call(("systemctl", "--user", "daemon-reload")),
    )


def list_drop_ins(uid: int) -> dict[PurePosixPath, str]:
    return {
        SYSTEM_UNITS / f"{UNIT}.d" / _OWN_DROP_IN: _AFTER_ITS_MANAGER.format(uid=uid),
        SYSTEM_UNITS / f"user@{uid}.service.d" / _OWN_DROP_IN: _TIME_FOR_KEEPERS,
    }


def set_program(unit: str, program: str) -> str:
    """The unit with the `perdured` that is installed here."""
    quoted = quote(program)
    return re.sub(r"^ExecStart=\S+", lambda _: f"ExecStart={quoted}", unit, count=1, flags=re.MULTILINE)


def quote(word: str) -> str:
    """As systemd reads a word of a command line (systemd.service(5))."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if re.search(r"[\s'\"\\;]", word) else word


def find_units_folder(environ: Mapping[str, str], home: PurePosixPath) -> PurePosixPath:
    """Where a user's own units lie."""
    config = environ.get("XDG_CONFIG_HOME")
    return (PurePosixPath(config) if config else home / ".config") / "systemd" / "user"
