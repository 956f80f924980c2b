"""Whether the save of the largest job fits into the warning that this machine gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from perdured.contract.deadline import MARGIN, RESERVE, Fit, Span, judge_fit
from perdured.core.units import human_duration, human_size

from .finding import Finding
from .sources import SourceSeen, find_shortest


class SaveSeen(NamedTuple):
    """What a save of one job takes."""

    job: str
    size: int | None = None
    """Bytes of its newest checkpoint."""
    seconds: float | None = None
    is_measured: bool = False
    """By the job itself; otherwise reckoned from its size and a short trial of the disk."""

    @property
    def needed(self) -> float | None:
        """Seconds of warning with which it surely fits."""
        return self.seconds * MARGIN + RESERVE if self.seconds is not None else None


def reckon_save(job: str, size: int, bytes_per_second: float) -> SaveSeen:
    return SaveSeen(job, size, size / bytes_per_second)


def find_largest(saves: Sequence[SaveSeen]) -> SaveSeen | None:
    """The one that takes longest, or as long as nothing was measured, has most bytes."""
    return max(saves, key=lambda save: (save.seconds or 0.0, save.size or 0), default=None)


def judge_save(save: SaveSeen | None, sources: Sequence[SourceSeen]) -> Finding:
    if save is None:
        what = "There is no job to measure."
        return Finding("notices", "save", "ok", what, "", "Name one: perdure doctor SPEC; or submit one and ask again.")
    if save.seconds is None:
        what = f"How long a save of {save.job} takes is not known yet."
        todo = "Ask again when it has saved once."
        return Finding("notices", "save", "warning", what, "It has no checkpoint that could be measured.", todo)
    shortest = find_shortest(sources)
    if shortest is None or shortest.seconds is None:
        what = f"A save of {_describe(save)}; nothing here says how much warning there will be."
        return Finding("notices", "save", "ok", what)
    return _compare(save, save.seconds, shortest.name, shortest.seconds)


def _compare(save: SaveSeen, seconds: float, source: str, left: float) -> Finding:
    fit = judge_fit(Span(seconds, seconds), left)
    given = f"{source} gives {human_duration(left)}"
    if fit is Fit.SURELY:
        what = f"It fits: a save of {_describe(save)}, and {given}."
        return Finding("notices", "save", "ok", what)
    todo = "Save more often, so that less is lost; keep the memory tier; write to a faster disk; ask for more warning."
    if fit is Fit.PERHAPS:
        what = f"It fits only just: a save of {_describe(save)}, and {given}."
        why = f"With what varies, {human_duration(save.needed or seconds)} would be sure."
        return Finding("notices", "save", "warning", what, why, todo)
    what = f"It does not fit: a save of {_describe(save)}, and {given}."
    why = "What cannot end in time is not begun: it goes on from its last checkpoint, and the steps since are lost."
    return Finding("notices", "save", "problem", what, why, todo)


def _describe(save: SaveSeen) -> str:
    size = f" ({human_size(save.size)})" if save.size is not None else ""
    how = "takes" if save.is_measured else "takes about"
    return f"{save.job}{size} {how} {human_duration(save.seconds or 0.0)}"
