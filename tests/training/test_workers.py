"""Workers of a DataLoader: what they draw depends on the batch alone, and stop signals are not for them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from perdure.feeds import make_source
from support.daemons import wait_for
from support.leftovers import read_command
from support.training import Trainings
from support.trees import freeze

pytestmark = pytest.mark.torch


class Noise(Dataset[Any]):
    def __init__(self) -> None:
        self.scale = 1

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        drawn = random.random(), float(np.random.random()), float(torch.rand(()))
        return index, self.scale, *drawn


class Many(Noise):
    """Loads a whole batch at once."""

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [(*self[index], len(indices)) for index in indices]


class Pids(Noise):
    def __getitem__(self, index: int) -> int:
        return os.getpid()


def batches_of(loader: DataLoader[Any]) -> list[Any]:
    torch.manual_seed(1)
    feed, items = make_source(loader).open(), []
    while (batch := next(feed, None)) is not None:
        items.append(batch)
    return items


@pytest.mark.parametrize("dataset", [Noise, Many])
@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")
def test_what_is_drawn_does_not_depend_on_the_number_of_workers(dataset: Callable[[], Noise]) -> None:
    one, three = (batches_of(DataLoader(dataset(), 2, shuffle=True, num_workers=n)) for n in (1, 3))
    assert freeze(one) == freeze(three)
    drawn = torch.cat([batch[2] for batch in one])
    assert len(set(drawn.tolist())) == 12, "every batch draws anew"


def test_a_pass_draws_other_numbers_than_the_one_before() -> None:
    loader = DataLoader(Noise(), 12, num_workers=1, persistent_workers=True)
    source = make_source(loader)
    first, second = (next(source.open()) for _ in range(2))
    assert first[2].tolist() != second[2].tolist()


def test_the_users_own_start_sees_the_users_own_dataset() -> None:
    def start(worker: int) -> None:
        info = get_worker_info()
        assert info is not None
        assert type(info.dataset) is Noise
        info.dataset.scale = 10 + worker

    (batch,) = batches_of(DataLoader(Noise(), 12, num_workers=1, worker_init_fn=start))
    assert batch[1].tolist() == [10] * 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_outlive_a_signal_to_the_whole_group(number: signal.Signals) -> None:
    loader = DataLoader(Pids(), 1, num_workers=2, prefetch_factor=1)
    feed = make_source(loader).open()
    pids = {int(next(feed)), int(next(feed))}
    assert len(pids) == 2
    for pid in pids:  # from a process that is not their parent
        subprocess.run(["kill", f"-{number}", str(pid)], check=True)
    rest = [int(next(feed)) for _ in range(10)]
    assert set(rest) == pids


OF_A_METHOD = """
import os, signal, subprocess, sys, time
from torch.utils.data import DataLoader
from perdure.feeds import make_source

if __name__ == "__main__":
    hits = []
    signal.signal(signal.SIGTERM, lambda *_: hits.append(1))
    feed = make_source(DataLoader(range(8), None, num_workers=1, multiprocessing_context=sys.argv[1])).open()
    for item in range(8):
        assert next(feed) == item
        subprocess.run(["kill", "-TERM", "--", f"-{os.getpgrp()}"])  # which is hit as well
        while len(hits) == item:
            time.sleep(0.001)
    (worker,) = feed._items._workers
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(20)
    assert worker.exitcode == 0, worker.exitcode
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_both_hold_however_the_worker_is_started(method: str, tmp_path: Path) -> None:
    """Libraries that it imports by itself start threads too, and a signal may find one of those."""
    script = tmp_path / "script.py"
    script.write_text(OF_A_METHOD)
    done = subprocess.run(
        [sys.executable, script, method],
        env={**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_worker_dies_when_its_parent_says_so() -> None:
    """As a DataLoader does with one that hangs."""
    loader = DataLoader(Pids(), 1, num_workers=1)
    feed: Any = make_source(loader).open()
    next(feed)
    (worker,) = feed._items._workers
    os.kill(worker.pid, signal.SIGTERM)  # from this process, its parent
    worker.join(10)
    assert worker.exitcode == 0


DIES_FIRST = """
import os, signal, time
from torch.utils.data import DataLoader
from perdure.feeds import make_source

def start(worker):
    parent = os.getppid()
    print(os.getpid(), flush=True)
    os.kill(parent, signal.SIGKILL)
    while os.getppid() == parent:
        time.sleep(0.001)

next(make_source(DataLoader(range(8), num_workers=1, worker_init_fn=start)).open())
"""


def test_a_worker_ends_with_a_training_that_was_killed_before_the_worker_was_up(
    trainings: Trainings, tmp_path: Path
) -> None:
    """Only then does torch look who the parent is, to see a change of it."""
    script = tmp_path / "script.py"
    script.write_text(DIES_FIRST)
    ended = trainings.run(script, cwd=tmp_path)
    assert ended.code == -signal.SIGKILL, ended.output
    worker = int(ended.output)
    wait_for(lambda: not read_command(worker), "the worker to end")
