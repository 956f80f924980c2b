"""What it costs to go on from a cold checkpoint of 1.5 GB: found, every byte verified, and in the objects.

    python benchmarks/restore.py [MEGABYTES]

Beside `torch.load(mmap=True)` of the same state into the same objects, which verifies nothing. Before each turn the
kernel is asked to forget the file. The objects are new in each turn, as they are in a process that starts. Last, the
same from the memory that a process which died has left.
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
from perdure.safetensors_file import copy_file, plan_file
from perdure.state import TENSORS, Capture
from perdured.contract import environment
from perdured.contract.checkpoint import Facts
from perdured.contract.checkpoint.arena import Arena, Part, Snapshot, create_arena
from perdured.contract.checkpoint.gather import round_up
from support import compare, describe_machine, print_table, scratch_directory

ROUNDS = 7
TORCH = "torch.load(mmap=True), loaded into the objects"
PERDURE = "Perdure: found, verified, loaded"
FROM_MEMORY = "Perdure: the same, from the memory of the process that died"


class Contest:
    def __init__(self, root: Path, layers: int) -> None:
        self.root = root
        self.layers = layers
        model, optimizer = make_state(layers)
        with perdure.Run(model=model, optimizer=optimizer, dir=root / "run", every="1000000 steps") as run:
            run.report()
            self.arena = leave_memory(run._capture(), run.step)
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

    def resume_from_memory(self) -> float:
        os.environ[environment.MEMORY] = f"/proc/self/fd/{self.arena.descriptor}"
        try:
            return self.resume()
        finally:
            del os.environ[environment.MEMORY]

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


def leave_memory(capture: Capture, step: int) -> Arena:
    """As a snapshot leaves it."""
    layout = plan_file(capture.blocks)
    arena = create_arena(round_up(layout.length))
    arena.begin(0)
    copy_file(layout, capture.blocks, arena.slot(0))
    arena.finish(0, Snapshot(1, step, (Part(TENSORS, 0, layout.length),), Facts(None, None, "run")))
    return arena


def _forget(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    print(describe_machine())
    with scratch_directory() as root:
        contest = Contest(root, max(megabytes * 1_000_000 // LAYER_BYTES, 1))
        results: dict[str, list[float]] = {TORCH: [], PERDURE: [], FROM_MEMORY: []}
        turns = deque(
            [(TORCH, contest.load_by_torch), (PERDURE, contest.resume), (FROM_MEMORY, contest.resume_from_memory)]
        )
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
