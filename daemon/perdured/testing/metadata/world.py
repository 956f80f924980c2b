"""What the fake server knows at a moment: what the clouds say, how the server behaves, and who asked what.

Many connections read it at the same time, so it is changed under one condition; who hangs waits for that. Times that a
step gives as "in" are made fixed when the step is played: a notice whose time moved on with each look would be a new
one each time, and that is what another well-known imitation gets wrong.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, NamedTuple

from .script import KEYS, check_change


class Asked(NamedTuple):
    """A request as it came in. Names of headers in lower case."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    body: bytes = b""


class Reply(NamedTuple):
    status: int
    body: str = ""
    headers: Mapping[str, str] = {}
    type: str = "text/plain"


class World:
    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.asked: list[Asked] = []
        self.tokens: dict[str, int] = {}
        """How many requests each has served."""
        self.approved: list[str] = []
        self.subscribed: set[str] = set()
        self.closing = False
        self._parts: dict[str, dict[str, Any]] = {part: {} for part in KEYS}
        self._versions: dict[str, int] = {}
        self._count = itertools.count(1)
        self._azure_asked_at: float | None = None

    def change(self, change: Mapping[str, Mapping[str, Any] | None]) -> None:
        """As a step of a script. Raises BadScript."""
        check_change(change)
        with self.changed:
            for part, keys in change.items():
                if keys is None:
                    self._parts[part].clear()
                    continue
                for key, value in keys.items():
                    self._set(part, key, _fix_times(value))
            self.changed.notify_all()

    def _set(self, part: str, key: str, value: Any) -> None:
        if part == "aws" and key == "forget_tokens":
            self.tokens.clear()
            return
        if part == "gcp" and self.get("gcp", "subscribed_only") and key not in self.subscribed:
            return
        self._versions[f"{part}.{key}"] = next(self._count)
        if value is None:
            self._parts[part].pop(key, None)
        else:
            self._parts[part][key] = value

    def get(self, part: str, key: str, default: Any = None) -> Any:
        with self.changed:
            return self._parts[part].get(key, default)

    def version(self, part: str, key: str) -> int:
        """It differs after each change, also after one back to what it was."""
        with self.changed:
            return self._versions.get(f"{part}.{key}", 0)

    def seconds_of_azure(self) -> float:
        """Since the scheduled events were asked for the first time."""
        with self.changed:
            now = time.monotonic()
            self._azure_asked_at = self._azure_asked_at if self._azure_asked_at is not None else now
            return now - self._azure_asked_at

    def take_fault(self, path: str) -> dict[str, Any]:
        """How the server is to misbehave towards this request; used up where it has a number of times."""
        with self.changed:
            faults = self._parts["manners"]
            if not faults or str(faults.get("only", "")) not in path:
                return {}
            taken = dict(faults)
            if "times" in faults:
                faults["times"] -= 1
                if faults["times"] <= 0:
                    faults.clear()
            return taken


def _fix_times(value: Any) -> Any:
    """{"in": 120} is a time 120 seconds from now."""
    if isinstance(value, list):
        return [_fix_times(each) for each in value]
    if isinstance(value, dict) and "in" in value:
        return {**{key: each for key, each in value.items() if key != "in"}, "at": time.time() + float(value["in"])}
    return value


def format_rfc3339(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def format_http_date(at: float) -> str:
    """ "Mon, 19 Sep 2016 18:29:47 GMT"."""
    return formatdate(at, usegmt=True)
