"""The job of `checkpoint.py`: measures, from inside a training process under a real keeper, what a save costs it.

    python job_memory.py DIRECTORY ROUNDS MEGABYTES

Prints one JSON object a round, names to seconds. Who begins changes from round to round.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from states import LAYER_BYTES, collect_tensors, make_state, sync

import perdure
from perdure import memory
from perdured.contract.durable import fsync_directory

MEMCPY = "a plain memcpy of the same bytes"
DISK = "the disk: 4 threads, O_DIRECT, fsync"
CHUNK = 16 << 20


class Contest:
    def __init__(self, root: Path, megabytes: int) -> None:
        self.root = root
        self.model, self.optimizer = make_state(max(megabytes * 1_000_000 // LAYER_BYTES, 1))
        self.tensors = collect_tensors(self.model, self.optimizer)
        self.bytes = sum(tensor.nbytes for tensor in self.tensors.values())
        self.source = torch.zeros(self.bytes, dtype=torch.uint8)
        self.target = torch.ones(self.bytes, dtype=torch.uint8)
        self.run = perdure.Run(model=self.model, optimizer=self.optimizer, dir=root / "run", every="1000000 steps")

    def begin(self) -> None:
        self.run.__enter__()
        memory.SHARE = 0
        while not self.run._saver._memory.is_held:
            self.run.report()
            time.sleep(0.05)
        memory.SHARE = 1_000_000

    # What is timed ------------------------------------------------------------------------------------------------

    def copy_memory(self) -> dict[str, float]:
        return {MEMCPY: timed(lambda: self.target.copy_(self.source))}

    def take_snapshot(self) -> dict[str, float]:
        """As `report` does it, with all that leads to it."""
        memory.SHARE = 0
        took = timed(self.run.report)
        memory.SHARE = 1_000_000
        return {"Perdure: a snapshot in memory": took}

    def commit(self) -> dict[str, float]:
        """Training stands still until it is durable, as when it was told to stop."""
        self.run.report()
        return {"Perdure: durable, by the keeper": timed(self.run.save)}

    def save_here(self) -> dict[str, float]:
        """Told to stop without room for an arena: this process writes it."""
        self.run.report()
        tier, request = self.run._saver._memory, self.run._request(self.run._capture())
        tier._state = "off"
        took = timed(lambda: self.run._saver.save(request, is_last=True))
        tier._state = "held"
        return {"Perdure: durable, without an arena": took}

    def write_disk(self) -> dict[str, float]:
        path = self.root / "limit"
        took = timed(lambda: write_directly(path, self.source))
        path.unlink()
        return {DISK: took}

    def save_by_torch(self) -> dict[str, float]:
        path = self.root / "torch.pth"
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        took = timed(lambda: (torch.save(state, path), sync(path)))
        path.unlink()
        return {"torch.save, fsync": took}

    def save_by_safetensors(self) -> dict[str, float]:
        path = self.root / "x.safetensors"
        took = timed(lambda: (save_file(self.tensors, path), sync(path)))
        path.unlink()
        return {"safetensors, fsync (tensors only)": took}

    def save_by_dcp(self) -> dict[str, float]:
        path = self.root / "dcp"
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        began = time.monotonic()
        saving = dcp.async_save(state, checkpoint_id=path)
        stall = time.monotonic() - began
        saving.result()
        took = time.monotonic() - began
        shutil.rmtree(path)
        return {"DCP async_save: its call": stall, "DCP async_save: done (not durable)": took}


def timed(do: Callable[[], object]) -> float:
    gc.collect()
    os.sync()
    began = time.monotonic()
    do()
    return time.monotonic() - began


def write_directly(path: Path, source: torch.Tensor) -> None:
    """The fastest way that was found to write so many bytes durably, and nothing else: no checksum, no manifest."""
    buffer = mmap.mmap(-1, CHUNK)
    size = source.nbytes // CHUNK * CHUNK
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o644)
    offsets = deque(range(0, size, CHUNK))

    def write() -> None:
        while offsets:
            try:
                os.pwrite(descriptor, buffer, offsets.popleft())
            except IndexError:
                return

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.fsync(descriptor)
    os.close(descriptor)
    fsync_directory(path.parent)


def main() -> None:
    root, rounds, megabytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    contest = Contest(root, megabytes)
    contest.begin()
    print(json.dumps({"bytes": contest.bytes, "tensors": len(contest.tensors)}), flush=True)
    limits = [contest.copy_memory, contest.write_disk]
    ours = [contest.take_snapshot, contest.commit, contest.save_here]
    peers = [contest.save_by_torch, contest.save_by_safetensors, contest.save_by_dcp]
    turns = deque(limits + ours + peers)
    for _ in range(rounds + 1):
        result: dict[str, float] = {}
        for turn in turns:
            result |= turn()
        print(json.dumps(result), flush=True)
        turns.rotate(-1)
    os._exit(0)


if __name__ == "__main__":
    main()
