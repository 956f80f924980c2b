"""How the service is: what systemd says of the unit, and what the daemon says itself."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from perdured.client import Client
from perdured.errors import PerdureError

from .plan import LINGER, UNIT

_PROPERTIES = ("LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "NRestarts", "StatusText", "Result")


def parse_properties(text: str) -> dict[str, str]:
    """What `systemctl show` prints."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value for key, _, value in pairs}


def observe_unit(*, is_user: bool) -> dict[str, str]:
    """Raises PerdureError where systemd cannot be asked."""
    command = ["systemctl", *(["--user"] if is_user else []), "show", UNIT, f"--property={','.join(_PROPERTIES)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _say_deaf(str(error)) from error
    if done.returncode:
        raise _say_deaf(done.stderr.strip())
    return parse_properties(done.stdout)


def _say_deaf(why: str) -> PerdureError:
    todo = "Is this machine run by systemd? `systemctl is-system-running` tells."
    return PerdureError("systemd could not be asked.", why, todo)


def observe_answer(socket: Path) -> str | None:
    """The version of the daemon that answers there; None where nobody does."""
    try:
        return str(Client(socket).health()["version"])
    except PerdureError:
        return None


def is_lingering(user: str) -> bool:
    return Path(LINGER, user).exists()


def describe(unit: Mapping[str, str], socket: Path, version: str | None, *, lingers: bool) -> dict[str, object]:
    return {
        "schema": 1,
        "installed": unit.get("LoadState") == "loaded",
        "at_boot": unit.get("UnitFileState") == "enabled",
        "state": unit.get("ActiveState", "unknown"),
        "says": unit.get("StatusText") or None,
        "pid": int(unit.get("MainPID") or 0) or None,
        "restarts": int(unit.get("NRestarts") or 0),
        "result": unit.get("Result") or None,
        "socket": str(socket),
        "version": version,
        "lingers": lingers,
    }


def say_status(shown: Mapping[str, object], install: str) -> list[str]:
    """Lines for a person; the last says what to do, where there is something to do."""
    if not shown["installed"]:
        return ["The service is not installed.", f"Install it: {install} --now"]
    start = "started at boot" if shown["at_boot"] else "not started at boot"
    says = f": {shown['says']}" if shown["says"] else ""
    lines = [f"The service is {shown['state']}{says}", f"It is {start}, and was restarted {shown['restarts']} times."]
    answer = f"version {shown['version']} answers" if shown["version"] else "nobody answers"
    lines.append(f"On {shown['socket']} {answer}.")
    if not shown["lingers"]:
        lines.append("Its jobs end with your last login; so that they do not: loginctl enable-linger")
    return lines
