"""One going through some data, within an epoch: under way, or over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perdure.feeds import Feed, Mark
from perdure.rng import Snapshot, Tree, snapshot_to_tree, take_snapshot


@dataclass
class Pass:
    """Once over, it has the place and the random state of its end."""

    data: object
    feed: Feed
    reported: Mark = (0,)
    """Of the last batch that was done with."""
    end: Tree | None = None
    end_rng: Snapshot | None = None

    def close(self) -> None:
        if self.end is None:
            self.end, self.end_rng = self.feed.place(self.feed.mark()), take_snapshot()

    def to_tree(self, mark: Mark) -> Tree:
        if self.end is not None and self.end_rng is not None:
            return {"place": self.end, "end": snapshot_to_tree(self.end_rng)}
        return {"place": self.feed.place(mark), "end": None}


class Over:
    """The feed of a pass that was over before the checkpoint."""

    def __init__(self, place: Tree) -> None:
        self._place = place

    def __next__(self) -> Any:
        raise StopIteration

    def mark(self) -> Mark:
        return (self._place["batches"],)

    def place(self, mark: Mark) -> Tree:  # noqa: ARG002  it has only one
        return self._place
