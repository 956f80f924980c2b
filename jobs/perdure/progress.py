"""What the keeper is told of a run's progress: often enough for a person and a watchdog, cheap enough for any step."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdure.channel import Channel
from perdure.imports import record_imports
from perdured.contract import messages

_INTERVAL = 0.1  # seconds


def is_finite(value: Any) -> bool:
    """Of a number, or a tensor of one element, which may have to come from its device for it."""
    return math.isfinite(float(value))


class Progress:
    """The newest step and its numbers; sent ten times a second at most, and always before a save."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._noted: tuple[int, Any, int | None, Mapping[str, Any]] | None = None
        self._told_at = -math.inf
        self._phase_told_at = -math.inf
        self._unrecorded = {"step", "save"}
        self._stalled = 0.0

    def note_stall(self, seconds: float) -> None:
        """Training stood still for a copy into memory."""
        self._stalled += seconds

    def note(self, step: int, loss: Any, total: int | None, metrics: Mapping[str, Any]) -> None:
        self._noted = (step, loss, total, metrics)
        self._phase_told_at = -math.inf
        if time.monotonic() - self._told_at >= _INTERVAL:
            self.tell()

    def tell(self) -> None:
        if self._noted is None or not self._channel.is_open:
            return
        (step, loss, total, metrics), self._noted = self._noted, None
        self._told_at = time.monotonic()
        self._record("step")
        numbers = _finite({"loss": loss})
        message: dict[str, object] = {"type": messages.PROGRESS, "step": step, "at": self._told_at, **numbers}
        if loss is not None and not numbers:
            message["finite"] = False
        if self._stalled:
            message["stalled"] = self._stalled
        if total is not None:
            message["total"] = int(total)
        if numbers := _finite(metrics):
            message["metrics"] = numbers
        self._channel.send(message)

    def tell_evaluation(self) -> None:
        """No step is made for a while, and that is as it should be. A sign of life, each time."""
        self.tell()
        if time.monotonic() - self._phase_told_at >= _INTERVAL:
            self._phase_told_at = time.monotonic()
            name, at = messages.EVALUATION, self._phase_told_at
            self._channel.send({"type": messages.PHASE, "name": name, "at": at})

    def tell_saving(self, step: int) -> None:
        self.tell()
        self._channel.send({"type": messages.SAVING, "step": step})

    def tell_saved(self, step: int, path: Path) -> None:
        self._channel.send({"type": messages.CHECKPOINT, "step": step, "path": str(path)})
        self._record("save")

    def _record(self, after: str) -> None:
        """For the standby: after the first step, and after the first save, which imports more."""
        if after in self._unrecorded and self._channel.is_open:
            self._unrecorded.discard(after)
            record_imports()


def _finite(numbers: Mapping[str, Any]) -> dict[str, float]:
    """JSON has no other numbers."""
    return {name: float(value) for name, value in numbers.items() if value is not None and is_finite(value)}
