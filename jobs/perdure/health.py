"""Whether a training is healthy, as far as its loss says."""

from __future__ import annotations

from typing import Any

from perdure.errors import tell
from perdure.progress import is_finite


class Health:
    """Looks at losses, and tells the first that is not finite. Once: the rest would fill the log with the same line."""

    def __init__(self) -> None:
        self._is_told = False

    def note(self, loss: Any, step: int) -> bool:
        """Whether the loss of that step is finite."""
        if is_finite(loss):
            return True
        if not self._is_told:
            self._is_told = True
            tell(
                f"the loss is not finite: {float(loss)} at step {step}",
                "what is saved with such a loss is marked unhealthy, and nobody resumes from it; training goes on",
                "If it does not recover, mend the cause: a restart goes on from the last healthy checkpoint.",
            )
        return False
