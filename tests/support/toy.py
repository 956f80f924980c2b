"""A training without torch, for tests of what `perdure.Run` does around a model: as quick as a dict."""

from __future__ import annotations

import random
from typing import Any


class Counter:
    """Something with a state, which every step changes in a way that depends on all before."""

    def __init__(self) -> None:
        self.total = 0.0
        self.items: list[Any] = []

    def learn(self, item: Any) -> None:
        self.total = self.total * 0.9 + random.random()
        self.items.append(item)

    def state_dict(self) -> dict[str, Any]:
        return {"total": self.total, "items": list(self.items)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total, self.items = state["total"], list(state["items"])


class Crash(BaseException):
    """The death of a process, as far as one process can play it: nothing catches it."""
