"""What it costs to go on from a cold checkpoint of 1.5 GB: found, every byte verified, and in the objects.

    python benchmarks/restore.py [MEGABYTES]

Beside `torch.load(mmap=True)` of the same state into the same objects, which verifies nothing. Before each turn the
kernel is asked to forget the file. The objects are new in each turn, as they are in a process that starts.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch
from states import LAYER_BYTES, make_model, make_state, sync

import perdure
from support import compare, describe_machine, print_table, scratch_directory

ROUNDS = 7
TORCH = "torch.load(mmap=True), loaded into the objects"
PERDURE = "Perdure: found, verified, loaded"


class Contest:
    def __init__(self, root: Path, layers: int) -> None:
        self.root = root
        self.layers = layers
        model, optimizer = make_state(layers)
        with perdure.Run(model=model, optimizer=optimizer, dir=root / "run", every="1000000 steps") as run:
            run.report()
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, root / "torch.pth")
        sync(root / "torch.pth")

    def load_by_torch(self) -> float:
        model, optimizer = make_model(self.layers)

        def load() -> None:
            state = torch.load(self.root / "torch.pth", mmap=True, weights_only=True)
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            for moments in optimizer.state.values():  # they are pages of the file still: read, and made one's own
                for name, tensor in moments.items():
                    moments[name] = tensor.clone()

        return self._timed(load)

    def resume(self) -> float:
        model, optimizer = make_model(self.layers)
        run = perdure.Run(model=model, optimizer=optimizer, dir=self.root / "run", every="1000000 steps")
        took = self._timed(run.__enter__)
        assert run.resumed_from_step == 1
        run._leave()
        return took

    def _timed(self, do: Callable[[], object]) -> float:
        gc.collect()
        for path in [self.root / "torch.pth", *self.root.glob("run/step-*/*.safetensors")]:
            _forget(path)
        began = time.monotonic()
        do()
        return time.monotonic() - began


def _forget(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    print(describe_machine())
    with scratch_directory() as root:
        contest = Contest(root, max(megabytes * 1_000_000 // LAYER_BYTES, 1))
        results: dict[str, list[float]] = {TORCH: [], PERDURE: []}
        turns = deque([(TORCH, contest.load_by_torch), (PERDURE, contest.resume)])
        for number in range(ROUNDS + 1):
            for name, turn in turns:
                took = turn()
                if number:  # the first round warms up
                    results[name].append(took)
            turns.rotate(-1)
    table = compare(results, TORCH, 1000, ".0f")
    print_table("Until a cold checkpoint is in the objects", ["", "ms", "times torch.load"], table)


if __name__ == "__main__":
    main()
