"""Every global stream of random numbers comes back to where it was."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perdure import rng
from support.trees import round_trip

pytestmark = pytest.mark.torch

DRAWS: list[Callable[[], Any]] = [
    random.random,
    lambda: random.gauss(0, 1),
    lambda: float(np.random.random()),
    lambda: float(np.random.normal()),
    lambda: torch.rand(3).tolist(),
    lambda: torch.randn(1).tolist(),
]


@pytest.mark.parametrize("times", range(4))
def test_what_is_drawn_next_is_the_same_again(times: int, tmp_path: Path) -> None:
    for draw in DRAWS * times:
        draw()
    snapshot = rng.take_snapshot()
    tree = round_trip(rng.snapshot_to_tree(snapshot), tmp_path)
    expected = [draw() for draw in DRAWS * 3]
    rng.restore_snapshot(snapshot)
    assert [draw() for draw in DRAWS * 3] == expected
    rng.restore_snapshot(rng.snapshot_from_tree(tree))
    assert [draw() for draw in DRAWS * 3] == expected


@pytest.mark.parametrize("seed", range(5))
def test_numpys_state_is_seen_to_change_whatever_was_drawn(seed: int) -> None:
    """The quick comparison of its memory must not miss a normal that is kept in reserve."""
    choose = random.Random(seed)
    np.random.seed(seed)
    for _ in range(300):
        snapshot = rng.take_snapshot()
        for _ in range(choose.randrange(3)):
            np.random.normal() if choose.random() < 0.5 else np.random.random()
        after = rng.take_snapshot()
        expected = [np.random.normal() for _ in range(3)]
        rng.restore_snapshot(snapshot)
        rng.restore_snapshot(after)
        assert [np.random.normal() for _ in range(3)] == expected


def test_kept_leaves_no_trace() -> None:
    snapshot = rng.take_snapshot()
    with rng.kept():
        for draw in DRAWS:
            draw()
    after = [draw() for draw in DRAWS]
    rng.restore_snapshot(snapshot)
    assert [draw() for draw in DRAWS] == after


def test_a_stream_goes_on_whatever_is_drawn_outside() -> None:
    def numbers(disturb: bool) -> list[Any]:
        stream, found = rng.Stream(5), []
        for _ in range(4):
            with stream.drawn_from():
                found.append([draw() for draw in DRAWS])
            if disturb:
                for draw in DRAWS:
                    draw()
        return found

    assert numbers(disturb=False) == numbers(disturb=True)


def test_derived_seeds_differ_and_are_the_same_again() -> None:
    seeds = [rng.derive(seed, word) for seed in range(5) for word in ("a", "b", 0, 1)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 1 << 63 for seed in seeds)
    assert rng.derive(1, "a") == rng.derive(1, "a")


def test_where_torch_and_numpy_are_not_loaded_they_stay_so() -> None:
    code = """
import random, sys
from perdure import rng
snapshot = rng.take_snapshot()
first = random.random()
rng.restore_snapshot(snapshot)
assert random.random() == first
assert snapshot.torch is None and snapshot.numpy is None
assert not {"torch", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_snapshot_costs_microseconds() -> None:
    """It is taken at each step; NumPy's alone would cost 100, if nobody drew from it."""
    import timeit

    torch.rand(1)
    best = min(timeit.repeat(rng.take_snapshot, number=200, repeat=20)) / 200
    assert best < 300e-6
