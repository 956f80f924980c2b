"""How an attempt ended and what shows it: what `classify_end` makes of the evidence, and the attempt keeps."""

from __future__ import annotations

from typing import Literal

from perdured.core.value import Value

from .cause import Cause


class End(Value):
    """How an attempt ended, and what shows it."""

    cause: Cause
    why: str
    """In words, on one line."""
    error: str | None = None
    """The exception: its type and the first line of its message."""
    fingerprint: str | None = None
    """The same for the same failure; None where nothing tells one failure from another."""
    is_transient: bool = False
    """What failed lies outside the program, so that the same failure again proves nothing."""
    sender: Literal["kernel", "perdure"] | None = None
    """Who sent the signal; None where it was none, or nobody knows."""
    traceback: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    kernel: tuple[str, ...] = ()
    advice: str | None = None
    """What to do about the GPU."""

    def without_evidence(self) -> End:
        """The verdict alone: of attempts long past, so that a job's record does not grow without bounds."""
        return self.model_copy(update={"traceback": (), "output": (), "kernel": ()})
