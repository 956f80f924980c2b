"""Sources for torch's DataLoader. One of the few modules that import torch.

A loader over a map-style dataset is cloned, with its own arguments, and with our `_Indices` in the place of its
sampler. So a place is found again without loading anything: the sampler is started once more from the random state it
had then, and the indices of the batches already handed out are dropped.

What the sampler draws, and when:

- A generator of its own, or of the loader, goes on by itself; its state at the beginning of the pass is kept.
- torch's own samplers draw from the global stream once, when the first index is asked for. The pass keeps the global
  state from before that moment, and a fresh pass draws what it would draw without Perdure: the order is the same.
- Any other sampler may draw from the global streams at every index, in between what the training draws. It gets a
  stream of its own, so that its order depends on nothing else.

Every index that is handed out goes into a checksum. If the sampler gives others when it is started again, because the
dataset, the batch size or the sampler itself changed, the run says so instead of training on the wrong samples.

A sampler that keeps an epoch counter without drawing on generators is out of reach, unless it has `set_epoch`.
"""

from __future__ import annotations

import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from perdure import rng
from perdure.errors import CannotRestore, tell
from perdure.feeds import Feed, Mark, Source, StreamSource, draw_seed
from perdure.generators import find_generators, restore_states, take_states
from perdure.rng import Stream, Tree
from perdure.workers import SeededDataset, Ticket, WorkerStart, stop_signals_held_back

_DRAW_ONCE = (RandomSampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler, DistributedSampler)

AnyLoader = DataLoader[Any]


def make_loader_source(loader: AnyLoader) -> Source:
    if type(loader).__iter__ is not DataLoader.__iter__:
        return StreamSource(loader)  # a subclass that does more than load; a clone would not do it
    if isinstance(loader.dataset, IterableDataset):
        return IterableLoaderSource(loader)
    return LoaderSource(loader)


def _clone(loader: AnyLoader, generator: torch.Generator, **changed: Any) -> AnyLoader:
    """A loader with the same arguments, but for `changed`. Its workers' seed comes from `generator`."""
    if not getattr(loader, "in_order", True):
        tell(
            "in_order=False is ignored",
            "a run can be resumed in the middle of an epoch only if batches come in the sampler's order",
        )
    with_workers: dict[str, Any] = {
        "prefetch_factor": loader.prefetch_factor,
        "persistent_workers": loader.persistent_workers,
        "multiprocessing_context": loader.multiprocessing_context,
        "worker_init_fn": WorkerStart(loader.worker_init_fn),
        "timeout": loader.timeout,
    }
    given: dict[str, Any] = {
        "dataset": loader.dataset,
        "num_workers": loader.num_workers,
        "collate_fn": loader.collate_fn,
        "pin_memory": loader.pin_memory,
        "generator": generator,
    }
    if loader.pin_memory_device:
        given["pin_memory_device"] = loader.pin_memory_device
    return DataLoader(**(given | (with_workers if loader.num_workers else {}) | changed))


# Map-style -------------------------------------------------------------------------------------------------------


class LoaderSource:
    """A DataLoader over a map-style dataset."""

    kind = "DataLoader"

    def __init__(self, loader: AnyLoader) -> None:
        is_batched = loader.batch_sampler is not None
        self.sampler = loader.batch_sampler if is_batched else loader.sampler
        self._generator = loader.generator
        self._generators = find_generators(loader.generator, self.sampler)
        self._for_workers = torch.Generator()
        self._indices = _Indices(with_tickets=loader.num_workers > 0)
        data = SeededDataset(loader.dataset) if loader.num_workers else loader.dataset
        place = {"batch_sampler": self._indices} if is_batched else {"batch_size": None, "sampler": self._indices}
        self._loader = _clone(loader, self._for_workers, dataset=data, **place)

    def open(self) -> Feed:
        start = {"rng": rng.snapshot_to_tree(rng.take_snapshot()), "generators": take_states(self._generators)}
        return self._start(start, None)

    def reopen(self, place: Tree) -> Feed:
        start = place["start"]
        with rng.kept():
            rng.restore_snapshot(rng.snapshot_from_tree(start["rng"]))
            self._restore_generators(start["generators"])
            return self._start(start, place)

    def conclude(self, place: Tree) -> None:
        self._restore_generators(place["generators"])

    def _start(self, start: Tree, place: Tree | None) -> Feed:
        # Here torch draws the seed of its workers; then it asks the sampler for the first index.
        seed = draw_seed(self._generator)
        self._indices.begin(seed, self.sampler)
        if place is not None:
            self._indices.skip(place["batches"], place["checksum"])
        self._for_workers.manual_seed(seed)
        with stop_signals_held_back(self._loader):
            return _LoaderFeed(self, start, iter(self._loader))

    def _restore_generators(self, states: list[Any]) -> None:
        if len(states) != len(self._generators):
            raise CannotRestore(
                "the sampler has other random generators than when the checkpoint was made",
                f"there were {len(states)}, now there are {len(self._generators)}",
                "Undo the change to the sampler, or begin again in another directory.",
            )
        restore_states(self._generators, states)

    def generator_states(self) -> list[Any]:
        return take_states(self._generators)

    @property
    def indices(self) -> _Indices:
        return self._indices


class _LoaderFeed:
    def __init__(self, source: LoaderSource, start: Tree, items: Iterator[Any]) -> None:
        self._source = source
        self._start = start
        self._items = items

    def __next__(self) -> Any:
        batch = next(self._items)
        self._source.indices.take()
        return batch

    def mark(self) -> Mark:
        return (self._source.indices.taken, self._source.indices.checksum)

    def place(self, mark: Mark) -> Tree:
        batches, checksum = mark
        return {
            "kind": LoaderSource.kind,
            "start": self._start,
            "batches": batches,
            "checksum": checksum,
            "generators": self._source.generator_states(),
        }


class _Indices:
    """What the clone takes for its sampler. It lives as long as the clone; `begin` starts it on another pass.

    Workers ask for indices long before their batches are handed out, so each index waits in `_ahead`, with the
    checksum up to it, until its batch is taken.
    """

    def __init__(self, *, with_tickets: bool) -> None:
        self._with_tickets = with_tickets
        self._items: Iterator[Any] = iter(())
        self._stream: Stream | None = None
        self._seed = 0
        self._number = 0
        self._ahead: deque[int] = deque()
        self._last = 0
        self.checksum = 0
        self.taken = 0

    def begin(self, seed: int, sampler: Any) -> None:
        self._seed = seed
        self._number = self.taken = 0
        self._last = self.checksum = 0
        self._ahead.clear()
        self._stream = None if _draws_once(sampler) else Stream(rng.derive(seed, "sampler"))
        self._items = self._draw(lambda: iter(sampler))

    def skip(self, count: int, checksum: int) -> None:
        for _ in range(count):
            if next(self, None) is None:
                break
            self.take()
        if self.taken != count or self.checksum != checksum:
            raise CannotRestore(
                "the data comes in another order than when the checkpoint was made",
                f"the sampler does not give the same {count} batches again: the dataset, the batch size or the sampler "
                "itself has changed, or the sampler keeps a count of its own",
                "Undo the change and start again; or go on from the weights alone, with a new directory.",
            )

    def take(self) -> None:
        """The next batch has been handed out."""
        self.checksum = self._ahead.popleft()
        self.taken += 1

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        index = self._draw(lambda: next(self._items))
        self._last = zlib.crc32(_digits(index), self._last)
        self._ahead.append(self._last)
        number, self._number = self._number, self._number + 1
        return Ticket(self._seed, number, index) if self._with_tickets else index

    def _draw(self, draw: Callable[[], Any]) -> Any:
        if self._stream is None:
            return draw()
        with self._stream.drawn_from():
            return draw()


def _draws_once(sampler: object) -> bool:
    """Whether it draws from the global streams only when the first index is asked for."""
    inner = sampler.sampler if type(sampler) is BatchSampler else sampler
    return type(inner) in _DRAW_ONCE or isinstance(inner, list | range)


def _digits(index: Any) -> bytes:
    """Bytes for the checksum: of the index or indices if they are integers, else nothing but their being there."""
    try:
        return array("q", index if isinstance(index, list) else [index]).tobytes()
    except (TypeError, OverflowError):
        return b"?"


# Iterable --------------------------------------------------------------------------------------------------------


class IterableLoaderSource(StreamSource):
    """A DataLoader over an IterableDataset. To find a place, what comes before is loaded again and dropped.

    Its workers are new in each pass (`persistent_workers` is not kept): a worker's random state after one pass could
    not be had again.
    """

    kind = "DataLoader of an IterableDataset"

    def __init__(self, loader: AnyLoader) -> None:
        self._for_workers = torch.Generator()
        self._workers = loader.num_workers
        changed = {"persistent_workers": False} if loader.num_workers else {}
        self._loader = _clone(
            loader, self._for_workers, batch_size=loader.batch_size, drop_last=loader.drop_last, **changed
        )
        super().__init__(self._loader)

    def iterate(self, seed: int) -> Iterator[Any]:
        self._for_workers.manual_seed(seed)
        with stop_signals_held_back(self._loader):
            return super().iterate(seed)

    def describe(self) -> Tree:
        return {"workers": self._workers}

    def check(self, place: Tree) -> None:
        if place["workers"] != self._workers:
            raise CannotRestore(
                "the data comes in another order than when the checkpoint was made",
                f"an IterableDataset is dealt out to its workers: there were {place['workers']}, now {self._workers}",
                f"Start again with num_workers={place['workers']}; it can be changed between epochs.",
            )
