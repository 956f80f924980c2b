"""What the keeper is told of a run's progress: often enough for a person and a watchdog, cheap enough for any step."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdure.channel import Channel
from perdured.contract import messages

_INTERVAL = 0.1  # seconds


def is_finite(value: Any) -> bool:
    """Of a number, or a tensor of one element, which may have to come from its device for it."""
    return math.isfinite(float(value))


class Progress:
    """The newest step and its numbers; sent ten times a second at most, and always before a save."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._step = 0
        self._numbers: dict[str, Any] = {}
        self._metrics: Mapping[str, Any] = {}
        self._is_told = True
        self._told_at = -math.inf

    def note(self, step: int, loss: Any, total: int | None, metrics: Mapping[str, Any]) -> None:
        self._step, self._numbers, self._metrics = step, {"loss": loss, "total": total}, metrics
        self._is_told = False
        if time.monotonic() - self._told_at >= _INTERVAL:
            self.tell()

    def tell(self) -> None:
        if self._is_told or not self._channel.is_open:
            return
        self._is_told, self._told_at = True, time.monotonic()
        message = {"type": messages.PROGRESS, "step": self._step, **_finite(self._numbers)}
        if metrics := _finite(self._metrics):
            message["metrics"] = metrics
        self._channel.send(message)

    def tell_saving(self, step: int) -> None:
        self.tell()
        self._channel.send({"type": messages.SAVING, "step": step})

    def tell_saved(self, step: int, path: Path) -> None:
        self._channel.send({"type": messages.CHECKPOINT, "step": step, "path": str(path)})


def _finite(numbers: Mapping[str, Any]) -> dict[str, object]:
    """JSON has no other numbers."""
    known = {name: value for name, value in numbers.items() if value is not None}
    return {name: value if type(value) is int else float(value) for name, value in known.items() if is_finite(value)}
