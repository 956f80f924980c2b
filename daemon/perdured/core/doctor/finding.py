"""What one check came to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

Level = Literal["ok", "warning", "problem"]
"""A problem costs steps, or keeps jobs from running. A warning may, or cannot be seen from here."""

Topic = Literal["notices", "storage", "machine"]


class Finding(NamedTuple):
    topic: Topic
    check: str
    level: Level
    what: str
    why: str = ""
    todo: str = ""


def count_level(findings: Iterable[Finding], level: Level) -> int:
    return sum(finding.level == level for finding in findings)
