"""What the training side tells people: three lines each, what happened, why, and what to do."""

from __future__ import annotations

import sys


class PerdureError(RuntimeError):
    """Base of all that `perdure` raises on its own account."""

    def __init__(self, what: str, why: str, todo: str) -> None:
        super().__init__(what, why, todo)
        self.what = what
        self.why = why
        self.todo = todo

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.why, self.todo) if line)


class Misuse(PerdureError):
    """A call that cannot be meant, such as `report` outside the `with` block."""


class CannotSave(PerdureError):
    """The state holds something that no checkpoint can hold."""


class CannotRestore(PerdureError):
    """A whole checkpoint that does not fit the objects it is to be loaded into. Nothing was loaded."""


class NoValidCheckpoint(PerdureError):
    """There are checkpoints, and none of them can be used."""


class DirectoryInUse(PerdureError):
    """Another process writes its checkpoints to the same directory."""


class SaveFailed(PerdureError):
    """The storage refused a checkpoint that could not wait. Older ones are untouched."""


def tell(what: str, why: str = "", todo: str = "") -> None:
    """Say something to the person who reads the job's output. Never fails: a closed stderr stops no training."""
    lines = [line for line in (what, why, todo) if line]
    try:
        sys.stderr.write("perdure: " + "\n         ".join(lines) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return
