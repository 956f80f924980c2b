"""A synchronous save of 200 MB of model and AdamW state: how long training stands still until it is durable.

    python benchmarks/commit.py

Beside the limit, which is the same number of bytes written to one file and synced, with no serialising, no checksum
and no manifest. Each peer gets the fsync of its file and of its directory that it does not make itself: without them
a crash may leave an empty file. What the peers leave out all the same: checksums, a name that appears in one piece,
the older checkpoints. Where TMPDIR lies is the disk that is measured.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from states import collect_tensors, make_state, sync

import perdure
from support import compare, describe_machine, print_table, read_clock, scratch_directory, take_turns

ROUNDS = 5
LAYERS = 4
LIMIT = "the bytes alone: write, fsync"


def save_bytes(content: memoryview, path: Path) -> None:
    path.write_bytes(content)
    sync(path)


def save_by_torch(state: dict[str, object], path: Path) -> None:
    torch.save(state, path)
    sync(path)


def save_by_safetensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    save_file(tensors, path)
    sync(path)


def time_save(name: str, root: Path, save: Callable[[Path], object]) -> dict[str, float]:
    """In a directory of its own, which is emptied afterwards; the collector and the disk's queue come to rest first."""
    directory = root / "save"
    directory.mkdir(exist_ok=True)
    gc.collect()
    os.sync()
    began = read_clock()
    save(directory / "checkpoint")
    took = read_clock() - began
    shutil.rmtree(directory)
    return {name: took}


def take_next_step(run: perdure.Run) -> None:
    run.report()
    run.save()


def main() -> None:
    model, optimizer = make_state(LAYERS)
    state: dict[str, object] = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    tensors = collect_tensors(model, optimizer)
    content = memoryview(bytearray(sum(tensor.nbytes for tensor in tensors.values())))
    print(f"{describe_machine()}, torch {torch.__version__}, {content.nbytes / 1e6:.0f} MB in {len(tensors)} tensors")
    with (
        scratch_directory() as root,
        perdure.Run(model=model, optimizer=optimizer, dir=root / "run", every="1000000 steps") as run,
    ):
        saves: dict[str, Callable[[Path], object]] = {
            LIMIT: partial(save_bytes, content),
            "torch.save, fsync": partial(save_by_torch, state),
            "safetensors, fsync (tensors only)": partial(save_by_safetensors, tensors),
            "perdure.save": partial(perdure.save, state),
            "perdure.Run.save": lambda _: take_next_step(run),
        }
        results = take_turns([partial(time_save, name, root, save) for name, save in saves.items()], ROUNDS)
    rows = compare(results, LIMIT, 1000, ".0f")
    print_table("A synchronous save", ["", "ms", "times the limit"], rows)


if __name__ == "__main__":
    main()
