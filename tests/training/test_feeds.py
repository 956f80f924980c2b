"""A pass over the data goes on at its place: what is left comes, in the same order, and nothing else."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    get_worker_info,
)
from torch.utils.data.distributed import DistributedSampler

import perdure
from perdure.errors import CannotRestore, Misuse
from perdure.feeds import Feed, Source, make_source
from perdure.rng import Tree, restore_snapshot, take_snapshot
from support.trees import freeze, round_trip

pytestmark = pytest.mark.torch

LENGTH = 11


class Numbers(Dataset[int]):
    def __len__(self) -> int:
        return LENGTH

    def __getitem__(self, index: int) -> int:
        return index


class Whole(Dataset[torch.Tensor]):
    """Asked for a whole batch of indices."""

    def __getitem__(self, index: Any) -> torch.Tensor:
        return torch.arange(LENGTH)[index]


class Augmented(Numbers):
    """Each item with numbers from the three global streams."""

    def __getitem__(self, index: int) -> Any:
        return index, random.random(), float(np.random.random()), torch.rand(())


class Stream(IterableDataset[Any]):
    """Dealt out to workers; shuffled by what it draws."""

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        items = list(range(first, LENGTH, step))
        random.shuffle(items)
        for item in items:
            yield item, torch.rand(())


class Restless(Sampler[int]):
    """Draws at each index, from every global stream."""

    def __iter__(self) -> Iterator[int]:
        left = list(range(LENGTH))
        while left:
            choice = random.random() + float(np.random.random()) + float(torch.rand(()))
            yield left.pop(int(choice * 1000) % len(left))

    def __len__(self) -> int:
        return LENGTH


class OwnGenerators(Sampler[int]):
    def __init__(self) -> None:
        self.python, self.numpy, self.old = random.Random(3), np.random.default_rng(3), np.random.RandomState(3)

    def __iter__(self) -> Iterator[int]:
        left = list(range(LENGTH))
        while left:
            choice = self.python.random() + float(self.numpy.random()) + float(self.old.random())
            yield left.pop(int(choice * 1000) % len(left))


class Buckets(Sampler[list[int]]):
    """A batch sampler of one's own, that shuffles its batches."""

    def __iter__(self) -> Iterator[list[int]]:
        batches = [[0, 1, 2], [3], [4, 5, 6, 7], [8, 9, 10]]
        random.shuffle(batches)
        yield from batches


class Stateful:
    """A loader that keeps its own place, as torchdata's does."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.next = 0
        self.is_over = True

    def __iter__(self) -> Iterator[int]:
        if self.is_over:
            self.order, self.next, self.is_over = torch.randperm(LENGTH).tolist(), 0, False
        while self.next < len(self.order):
            self.next += 1
            yield self.order[self.next - 1]
        self.is_over = True

    def state_dict(self) -> dict[str, Any]:
        return {"order": list(self.order), "next": self.next, "is_over": self.is_over}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.order, self.next, self.is_over = list(state["order"]), state["next"], state["is_over"]


class TwoAtOnce(DataLoader[Any]):
    """A loader that does more than load."""

    def __iter__(self) -> Any:
        return iter([(batch, batch) for batch in super().__iter__()])


class Again:
    """Nothing but an iterable."""

    def __iter__(self) -> Iterator[int]:
        return iter(random.sample(range(LENGTH), LENGTH))


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


WITH_WORKERS: dict[str, Any] = {"num_workers": 2}
LOADERS: dict[str, Callable[[], Any]] = {
    "list": lambda: list(range(LENGTH)),
    "range": lambda: range(LENGTH),
    "tensor": lambda: torch.arange(LENGTH),
    "array": lambda: np.arange(LENGTH),
    "dataset": Numbers,
    "sequential": lambda: DataLoader(Numbers(), batch_size=2),
    "shuffled": lambda: DataLoader(Numbers(), batch_size=2, shuffle=True),
    "shuffled, last dropped": lambda: DataLoader(Numbers(), batch_size=2, shuffle=True, drop_last=True),
    "shuffled by its generator": lambda: DataLoader(Numbers(), batch_size=2, shuffle=True, generator=generator()),
    "unbatched": lambda: DataLoader(Numbers(), batch_size=None, shuffle=True),
    "unbatched, in batches": lambda: DataLoader(
        Whole(), batch_size=None, sampler=BatchSampler(RandomSampler(Numbers()), 3, False)
    ),
    "augmented": lambda: DataLoader(Augmented(), batch_size=2, shuffle=True),
    "replacement": lambda: DataLoader(Numbers(), 2, sampler=RandomSampler(Numbers(), replacement=True, num_samples=40)),
    "replacement by a generator": lambda: DataLoader(
        Numbers(), 2, sampler=RandomSampler(Numbers(), replacement=True, num_samples=40, generator=generator())
    ),
    "subset": lambda: DataLoader(Numbers(), 2, sampler=SubsetRandomSampler(range(3, 9))),
    "weighted": lambda: DataLoader(Numbers(), 2, sampler=WeightedRandomSampler([1.0] * LENGTH, 15)),
    "distributed": lambda: DataLoader(Numbers(), 2, sampler=DistributedSampler(Numbers(), 2, 1, seed=4)),
    "a list as sampler": lambda: DataLoader(Numbers(), 2, sampler=[5, 4, 3, 2, 1]),
    "restless sampler": lambda: DataLoader(Numbers(), 2, sampler=Restless()),
    "sampler with generators": lambda: DataLoader(Numbers(), 2, sampler=OwnGenerators()),
    "bucket batches": lambda: DataLoader(Numbers(), batch_sampler=Buckets()),
    "restless batches": lambda: DataLoader(Numbers(), batch_sampler=BatchSampler(Restless(), 3, False)),
    "iterable": lambda: DataLoader(Stream(), batch_size=2),
    "iterable, unbatched": lambda: DataLoader(Stream(), batch_size=None),
    "stateful": Stateful,
    "more than a loader": lambda: TwoAtOnce(Numbers(), batch_size=2, shuffle=True),
    "any iterable": Again,
}
WORKING: dict[str, Callable[[], Any]] = {
    "workers, augmented": lambda: DataLoader(Augmented(), 2, shuffle=True, **WITH_WORKERS),
    "workers, generator": lambda: DataLoader(Augmented(), 2, shuffle=True, generator=generator(), **WITH_WORKERS),
    "workers, unbatched": lambda: DataLoader(Augmented(), batch_size=None, shuffle=True, **WITH_WORKERS),
    "workers, restless": lambda: DataLoader(Augmented(), 2, sampler=Restless(), **WITH_WORKERS),
    "workers, replacement": lambda: DataLoader(
        Numbers(), 2, sampler=RandomSampler(Numbers(), replacement=True, num_samples=40, generator=generator()),
        **WITH_WORKERS,
    ),
    "workers, iterable": lambda: DataLoader(Stream(), 2, **WITH_WORKERS),
    "workers, persistent": lambda: DataLoader(Augmented(), 2, shuffle=True, persistent_workers=True, **WITH_WORKERS),
}  # fmt: skip


def seed(number: int) -> None:
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


def take(feed: Feed, count: int) -> list[Any]:
    items = []
    for _ in range(count):
        items.append(next(feed))
        disturb()
    return items


def rest_of(feed: Feed, after_each: Callable[[], None] | None = None) -> list[Any]:
    items = []
    while True:
        try:
            items.append(next(feed))
        except StopIteration:
            return items
        (after_each or disturb)()


def place_of(feed: Feed) -> Tree:
    return feed.place(feed.mark())


def saved(place: Tree) -> Tree:
    with tempfile.TemporaryDirectory() as folder:
        tree: Tree = round_trip(place, Path(folder))
        return tree


def disturb() -> None:
    """What a training draws between two batches."""
    random.random()
    np.random.random()
    torch.rand(3)


def take_two_passes(source: Source) -> list[list[Any]]:
    seed(1)
    first = rest_of(source.open())
    disturb()
    return [first, rest_of(source.open())]


def check_every_place(make: Callable[[], Any], places: int) -> None:
    whole = take_two_passes(make_source(make()))
    assert whole[0]
    for count in range(0, len(whole[0]) + 1, max(1, len(whole[0]) // places)):
        seed(1)
        feed = make_source(make()).open()
        first = take(feed, count)
        state = take_snapshot()
        place = saved(place_of(feed))
        if count == 0:
            continue
        seed(99)  # another process
        source = make_source(make())
        feed = source.reopen(place)
        restore_snapshot(state)
        assert freeze(first + rest_of(feed)) == freeze(whole[0]), f"resumed after {count} batches"
        disturb()
        assert freeze(rest_of(source.open())) == freeze(whole[1]), f"the pass after that, from {count}"


@pytest.mark.parametrize("name", LOADERS)
def test_it_goes_on_at_every_place_and_the_next_pass_is_the_same_too(name: str) -> None:
    check_every_place(LOADERS[name], 100)


@pytest.mark.parametrize("name", WORKING)
def test_it_does_so_with_workers(name: str) -> None:
    check_every_place(WORKING[name], 2)


@settings(max_examples=40)
@given(name=st.sampled_from(sorted(LOADERS)), stops=st.lists(st.integers(0, 4), max_size=5))
def test_it_goes_on_however_often_it_is_broken_off(name: str, stops: list[int]) -> None:
    seed(1)
    whole = rest_of(make_source(LOADERS[name]()).open())
    seed(1)
    feed = make_source(LOADERS[name]()).open()
    found: list[Any] = []
    for count in stops:
        found += take(feed, min(1 + count, len(whole) - len(found)))
        state, place = take_snapshot(), saved(place_of(feed))
        seed(5)
        feed = make_source(LOADERS[name]()).reopen(place)
        restore_snapshot(state)
    assert freeze(found + rest_of(feed)) == freeze(whole)


@pytest.mark.parametrize("name", [*LOADERS, *WORKING])
def test_opening_at_a_place_leaves_the_global_streams_alone(name: str) -> None:
    make = (LOADERS | WORKING)[name]
    feed = make_source(make()).open()
    take(feed, 2)
    place = saved(place_of(feed))
    if name == "stateful":
        return  # its own business
    seed(3)
    before = take_snapshot()
    make_source(make()).reopen(place)
    assert freeze(take_snapshot()._asdict()) == freeze(before._asdict())


@pytest.mark.parametrize(
    "name", ["shuffled", "shuffled by its generator", "augmented", "weighted", "replacement", "sequential"]
)
def test_without_a_restart_the_batches_are_those_of_the_loader_alone(name: str) -> None:
    seed(2)
    alone = list(LOADERS[name]())
    seed(2)
    assert freeze(rest_of(make_source(LOADERS[name]()).open(), lambda: None)) == freeze(alone)


def test_with_workers_too_as_long_as_they_draw_nothing() -> None:
    loader = DataLoader(Numbers(), 2, shuffle=True, num_workers=2)
    seed(2)
    alone = list(loader)
    seed(2)
    assert freeze(rest_of(make_source(loader).open())) == freeze(alone)


def test_what_was_handed_out_is_not_loaded_again() -> None:
    class Watched(Numbers):
        def __getitem__(self, index: int) -> int:
            looked.append(index)
            return index

    looked: list[int] = []
    feed = make_source(DataLoader(Watched(), 2, shuffle=True)).open()
    take(feed, 3)
    before = looked.copy()
    looked.clear()
    rest_of(make_source(DataLoader(Watched(), 2, shuffle=True)).reopen(saved(place_of(feed))))
    assert sorted(before + looked) == list(range(LENGTH))


@pytest.mark.parametrize(
    "changed",
    [
        DataLoader(Numbers(), batch_size=3, shuffle=True),
        DataLoader(Numbers(), batch_size=2),
        DataLoader(list(range(LENGTH + 1)), batch_size=2, shuffle=True),  # type: ignore[arg-type]
        DataLoader([1, 2], batch_size=2, shuffle=True),  # type: ignore[arg-type]
    ],
    ids=["batch size", "shuffling", "length", "nearly empty"],
)
def test_data_in_another_order_is_an_error_and_not_a_wrong_sample(changed: DataLoader[Any]) -> None:
    seed(1)
    feed = make_source(DataLoader(Numbers(), batch_size=2, shuffle=True)).open()
    take(feed, 3)
    with pytest.raises(CannotRestore, match="another order"):
        make_source(changed).reopen(saved(place_of(feed)))


def test_an_iterable_dealt_out_to_more_workers_is_an_error() -> None:
    feed = make_source(DataLoader(Stream(), 2)).open()
    take(feed, 1)
    with pytest.raises(CannotRestore, match="there were 0, now 2"):
        make_source(DataLoader(Stream(), 2, num_workers=2)).reopen(saved(place_of(feed)))


def test_a_sampler_with_fewer_generators_is_an_error() -> None:
    feed = make_source(DataLoader(Numbers(), 2, sampler=OwnGenerators())).open()
    take(feed, 1)
    with pytest.raises(CannotRestore, match="other random generators"):
        make_source(DataLoader(Numbers(), 2, sampler=SequentialSampler(Numbers()))).reopen(saved(place_of(feed)))


def test_a_sequence_may_have_grown() -> None:
    feed = make_source([1, 2]).open()
    take(feed, 2)
    assert rest_of(make_source([1, 2, 3]).reopen(saved(place_of(feed)))) == [3]


@pytest.mark.parametrize(
    "data", [iter([1]), (x for x in [1]), enumerate([1]), map(str, [1])], ids=lambda d: type(d).__name__
)
def test_what_can_be_gone_through_only_once_is_refused(data: Any) -> None:
    with pytest.raises(Misuse, match="only once"):
        make_source(data)


def test_what_is_no_data_is_refused() -> None:
    with pytest.raises(Misuse, match="neither a loader nor a sequence"):
        make_source(3)


def test_a_loader_out_of_order_is_put_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    loader = DataLoader(Numbers(), 1, num_workers=2, in_order=False)
    assert [int(batch) for batch in rest_of(make_source(loader).open())] == list(range(LENGTH))
    assert "in_order=False is ignored" in capsys.readouterr().err


@pytest.mark.parametrize("is_given_early", [True, False])
@pytest.mark.parametrize("reseeds", [True, False])
def test_a_generator_goes_on_from_one_epoch_to_the_next(
    is_given_early: bool, reseeds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved between two epochs, when no pass is under way; and a script that seeds it anew is not overruled."""
    monkeypatch.chdir(tmp_path)

    def train(epochs: int, root: str) -> list[Any]:
        source = generator()
        loader = DataLoader(Numbers(), batch_size=4, shuffle=True, generator=source)
        with perdure.Run(data=loader if is_given_early else None, dir=root) as run:
            run.values.setdefault("seen", [])
            for epoch in run.epochs(epochs):
                if reseeds:
                    source.manual_seed(epoch)
                for batch in run.batches(loader):
                    run.values["seen"].append(batch.tolist())
                    run.report()
        seen: list[Any] = run.values["seen"]
        return seen

    whole = train(3, "whole")
    train(1, "parts")
    train(2, "parts")
    if reseeds and not is_given_early:
        return  # it is known too late: `data=` is what it is for
    assert train(3, "parts") == whole
