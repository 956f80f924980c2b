"""How long a shutdown waits for the jobs: what the daemon's unit may take to stop, and what logind holds it up before.

A delay lock holds a shutdown up before anything is stopped, at most InhibitDelayMaxSec, five seconds unless set. The
unit has its own time after that (TimeoutStopSec), which a Type=notify service may stretch while it saves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from perdured.core.units import human_duration

from .finding import Finding
from .saves import SaveSeen
from .sources import SourceSeen

_DELAY = 5.0
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800, "": 1}


class SystemdSeen(NamedTuple):
    delay: float
    """InhibitDelayMaxSec."""
    unit: str | None = None
    """That the daemon runs in; None: there is no daemon, or it was started by hand."""
    stop_timeout: float | None = None
    """That unit's; infinite where it has none."""


def parse_delay(files: Iterable[str]) -> float:
    """InhibitDelayMaxSec of logind's files in the order in which they are read; the last word counts."""
    delay = _DELAY
    for text in files:
        for value in re.findall(r"^\s*InhibitDelayMaxSec\s*=\s*(.*?)\s*$", text, flags=re.MULTILINE):
            delay = parse_span(value) if value else _DELAY
    return delay


def parse_span(text: str) -> float:
    """Seconds of systemd.time(7)'s "5", "90s", "1min 30s", "infinity"; the default where it is none of them."""
    if text == "infinity":
        return float("inf")
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text)
    if not parts or any(unit not in _UNITS for _, unit in parts):
        return _DELAY
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def find_unit(cgroup: str) -> str | None:
    """The service in the path of a process' cgroup, as /proc/PID/cgroup tells it."""
    names = re.findall(r"/([^/\n]+\.service)(?=/|$)", cgroup, flags=re.MULTILINE)
    own = [name for name in names if not name.startswith("user@")]
    return own[0] if own else None


def make_source(seen: SystemdSeen | None) -> SourceSeen:
    if seen is None:
        return SourceSeen("systemd", "absent")
    if seen.unit is None or seen.stop_timeout is None:
        return SourceSeen(
            "systemd", "works", None, "A shutdown is seen; it waits for no daemon that was started by hand."
        )
    if seen.stop_timeout == float("inf"):
        return SourceSeen("systemd", "works", None, f"A shutdown waits for {seen.unit} as long as it takes.")
    return SourceSeen("systemd", "works", seen.stop_timeout, f"TimeoutStopSec of {seen.unit}, and more while it saves")


def judge_shutdown(seen: SystemdSeen, save: SaveSeen | None, *, has_daemon: bool) -> list[Finding]:
    findings = []
    if has_daemon and seen.unit is None:
        why = "At a shutdown systemd ends it like any program of a session, and waits for no save."
        todo = "Run it as a service: the units in systemd/ have all that is needed."
        what = "perdured was not started by systemd."
        findings.append(Finding("notices", "shutdown", "warning", what, why, todo))
    return [*findings, _judge_delay(seen.delay, save)]


def _judge_delay(delay: float, save: SaveSeen | None) -> Finding:
    check, given = "logind delay", human_duration(delay) if delay != float("inf") else "any time"
    needed = save.needed if save is not None else None
    if save is None or needed is None or needed <= delay:
        return Finding("notices", check, "ok", f"A delay lock holds a shutdown up for {given}.")
    what = f"A delay lock holds a shutdown up for {given}, and a save of {save.job} needs {human_duration(needed)}."
    why = "What is over that comes out of the time that the daemon's unit has to stop."
    seconds = int(needed) + 1
    todo = f"In /etc/systemd/logind.conf.d/perdure.conf: [Login], and below it InhibitDelayMaxSec={seconds}"
    return Finding("notices", check, "warning", what, why, todo)
