"""Feeds: what hands out the batches of one pass over some data, knows its place, and can be opened there again.

A source stands for the user's loader as long as the run lasts; a feed for one pass over it. Two rules make a resumed
pass the same as one that was never broken off:

- The place is counted in batches that were *handed out*, not in those that workers have fetched ahead.
- To open a feed at a place, nothing that was handed out before is loaded again if it can be helped, and the global
  random streams are left as they were found.

A loader of torch has its own module, `loaders`; here are the kinds that need no torch.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from perdure.errors import CannotRestore, Misuse
from perdure.rng import Stream, Tree

Mark = tuple[int, ...]
"""A moment of a feed, cheap to take at each step. Its first number is that of the batches handed out."""


class Feed(Protocol):
    """The batches of one pass, in order."""

    def __next__(self) -> Any: ...

    def mark(self) -> Mark: ...

    def place(self, mark: Mark) -> Tree:
        """Where it was at `mark`, the present or that of the last report, as values of a checkpoint."""


class Source(Protocol):
    """The user's data, which feeds are opened on, one at a time."""

    kind: str

    def open(self) -> Feed:
        """A new pass. Draws from the global random streams what the data itself would draw."""

    def reopen(self, place: Tree) -> Feed:
        """The pass that was at `place`. Errors: CannotRestore if the data is not what it was."""

    def conclude(self, place: Tree) -> None:
        """Be as after a pass that ended at `place`: the next `open` draws what it would have drawn."""


def make_source(data: object) -> Source:
    """The source for a loader, sequence or iterable. Errors: Misuse if no place in it can be found again."""
    if isinstance(data, Iterator):
        why = f"a {type(data).__name__} can be gone through only once, so a resumed run could not find its place in it"
        raise Misuse("this data cannot be resumed", why, "Give the DataLoader, dataset or list itself.")
    if hasattr(data, "state_dict") and hasattr(data, "load_state_dict"):
        return StatefulSource(data)
    torch = sys.modules.get("torch")
    if torch and isinstance(data, torch.utils.data.DataLoader):
        from perdure import loaders

        return loaders.make_loader_source(data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, dict):
        return SequenceSource(data)  # type: ignore[arg-type]  # all of a Sequence that is used
    if isinstance(data, Iterable):
        return StreamSource(data)
    why = f"a {type(data).__name__} is neither a loader nor a sequence"
    raise Misuse("this data cannot be gone through", why, "Give a DataLoader, a list, or anything with __iter__.")


def check_kind(source: Source, place: Tree) -> None:
    if place["kind"] != source.kind:
        raise CannotRestore(
            "the data is of another kind than when the checkpoint was made",
            f"it was a {place['kind']}, now it is a {source.kind}",
            "Give run.batches() the same loaders in the same order, or begin again in another directory.",
        )


# Sequences -------------------------------------------------------------------------------------------------------


class SequenceSource:
    """A list, range, tensor, array or map-style dataset: its items, in order. It may have grown meanwhile."""

    kind = "sequence"

    def __init__(self, data: Sequence[Any]) -> None:
        self._data = data

    def open(self) -> Feed:
        return _SequenceFeed(self._data, 0)

    def reopen(self, place: Tree) -> Feed:
        return _SequenceFeed(self._data, place["batches"])

    def conclude(self, place: Tree) -> None:
        """A sequence has no state."""


class _SequenceFeed:
    def __init__(self, data: Sequence[Any], batches: int) -> None:
        self._data = data
        self._batches = batches

    def __next__(self) -> Any:
        if self._batches >= len(self._data):
            raise StopIteration
        item = self._data[self._batches]
        self._batches += 1
        return item

    def mark(self) -> Mark:
        return (self._batches,)

    def place(self, mark: Mark) -> Tree:
        return {"kind": SequenceSource.kind, "batches": mark[0]}


# Loaders with a state of their own -------------------------------------------------------------------------------


class StatefulSource:
    """A loader with `state_dict` and `load_state_dict`, such as torchdata's: it keeps its own place.

    After `load_state_dict` its next `iter` must go on behind the last batch that it handed out before `state_dict`,
    and begin a new pass if that one was over. Its state is too costly to take at each step, so a batch that was handed
    out is used up here, even if the loop is left before it is reported.
    """

    kind = "stateful loader"

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def open(self) -> Feed:
        return _StatefulFeed(self._loader, 0)

    def reopen(self, place: Tree) -> Feed:
        self._loader.load_state_dict(place["state"])
        return _StatefulFeed(self._loader, place["batches"])

    def conclude(self, place: Tree) -> None:
        self._loader.load_state_dict(place["state"])


class _StatefulFeed:
    def __init__(self, loader: Any, batches: int) -> None:
        self._loader = loader
        self._items = iter(loader)
        self._batches = batches

    def __next__(self) -> Any:
        batch = next(self._items)
        self._batches += 1
        return batch

    def mark(self) -> Mark:
        return (self._batches,)

    def place(self, mark: Mark) -> Tree:
        return {"kind": StatefulSource.kind, "batches": mark[0], "state": self._loader.state_dict()}


# Whatever can only be gone through from its beginning ------------------------------------------------------------


class StreamSource:
    """An iterable, gone through again from its beginning to find a place: what comes before is loaded and dropped.

    What it draws in this process comes from a stream of its own, seeded at the beginning of the pass, so that it does
    not depend on what the training draws in between.
    """

    kind = "iterable"

    def __init__(self, data: Iterable[Any]) -> None:
        self._data = data

    def open(self) -> Feed:
        return _StreamFeed(self, draw_seed())

    def reopen(self, place: Tree) -> Feed:
        self.check(place)
        feed = _StreamFeed(self, place["seed"])
        for _ in range(place["batches"]):
            next(feed, None)
        return feed

    def conclude(self, place: Tree) -> None:
        """Nothing of a pass is left when it is over."""

    def check(self, place: Tree) -> None:
        """CannotRestore if the order of the batches has changed for a reason that can be seen."""

    def iterate(self, seed: int) -> Iterator[Any]:  # noqa: ARG002  a loader with workers needs it
        return iter(self._data)

    def describe(self) -> Tree:
        """What a place needs besides the seed and the count."""
        return {}


class _StreamFeed:
    def __init__(self, source: StreamSource, seed: int) -> None:
        self._source = source
        self._seed = seed
        self._stream = Stream(seed)
        self._batches = 0
        with self._stream.drawn_from():
            self._items = source.iterate(seed)

    def __next__(self) -> Any:
        with self._stream.drawn_from():
            item = next(self._items)
        self._batches += 1
        return item

    def mark(self) -> Mark:
        return (self._batches,)

    def place(self, mark: Mark) -> Tree:
        fixed = {"kind": self._source.kind, "seed": self._seed, "batches": mark[0]}
        return fixed | self._source.describe()


def draw_seed(generator: Any = None) -> int:
    """63 bits, from torch's stream if it is loaded, just as a DataLoader draws the seed for its workers."""
    torch = sys.modules.get("torch")
    if torch is None:
        return random.getrandbits(63)
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator).item())
