from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """What is wrong, and with which file."""

    file: str
    what: str


class Judged(NamedTuple):
    """What was found at a path. `kind` None: of no kind that is known here, so nothing can be said of it."""

    kind: str | None
    problems: tuple[Problem, ...] = ()
    step: int | None = None
    """As the format itself says; None where it does not."""
    has_checksums: bool = False
    """All of its bytes that matter were checked; else their lengths and their order."""

    @property
    def is_broken(self) -> bool:
        return bool(self.problems)

    def summarize(self) -> str:
        return "; ".join(f"{problem.file}: {problem.what}" for problem in self.problems[:3])
