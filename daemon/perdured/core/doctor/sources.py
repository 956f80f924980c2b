"""Which sources of notices work here, and how much warning they give.

Seconds are the usual ones of a source (`USUAL`) unless this machine says otherwise. They are what its makers promise at
best: Azure's 30 s are a ceiling that is often far from reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from perdured.core.notices.status import SourceStatus
from perdured.core.units import human_duration

from .finding import Finding

Status = Literal["works", "blind", "absent"]
"""Hears what there is to hear; would be here, and cannot hear; is not here."""


class SourceSeen(NamedTuple):
    name: str
    status: Status
    seconds: float | None = None
    """Of warning; None: it does not say."""
    why: str = ""
    todo: str = ""


USUAL = {"aws": 120.0, "gcp": 30.0, "azure": 30.0, "alibaba": 300.0, "tencent": 120.0}

_SEE = "docs/notices.md says what it needs; `perdure notices` shows it while a daemon runs."


def make_clouds(heard: Mapping[str, SourceStatus]) -> list[SourceSeen]:
    """`heard`: how the sources are that could be tried, by their names."""
    return [_make_cloud(name, seconds, heard.get(name)) for name, seconds in USUAL.items()]


def _make_cloud(name: str, seconds: float, heard: SourceStatus | None) -> SourceSeen:
    if heard is None or heard.state == "not_here":
        return SourceSeen(name, "absent")
    works = SourceSeen(name, "works", seconds, heard.why)
    return works if heard.state == "works" else blind(works, heard)


def blind(source: SourceSeen, heard: SourceStatus | None) -> SourceSeen:
    """The source, unless whoever listens to it says that it hears nothing."""
    if heard is None or heard.state not in ("blind", "starting") or source.status == "absent":
        return source
    return source._replace(status="blind", why=f"{heard.why[:1].upper()}{heard.why[1:]}.", todo=_SEE)


def judge_sources(sources: Sequence[SourceSeen]) -> list[Finding]:
    """One for each source that is here, and one for all that are not."""
    here = [_judge(source) for source in sources if source.status != "absent"]
    absent = ", ".join(source.name for source in sources if source.status == "absent")
    return [*here, Finding("notices", "not here", "ok", f"{absent}.")] if absent else here


def find_shortest(sources: Sequence[SourceSeen]) -> SourceSeen | None:
    """Of the sources that work, the one that gives the least warning."""
    known = [source for source in sources if source.status == "works" and source.seconds is not None]
    return min(known, key=lambda source: source.seconds or 0.0, default=None)


def _judge(source: SourceSeen) -> Finding:
    if source.status == "blind":
        return Finding("notices", source.name, "problem", "Its notices cannot be heard.", source.why, source.todo)
    if source.seconds is None:
        return Finding("notices", source.name, "ok", source.why or "It is heard; how long before, it does not say.")
    why = f": {source.why}" if source.why else ""
    return Finding("notices", source.name, "ok", f"{human_duration(source.seconds)} of warning{why}.")
