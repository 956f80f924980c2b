"""The jobs of `preemption.py`: train until they are killed, save for a notice, and note when what was done.

    python job_notice.py STAMPS WAY MEGABYTES

WAY is `run`, a training with `perdure.Run`, which is told by its keeper; or `handler`, one with `torch.save` and an
fsync in the handler of a signal, as people write it. Both go on afterwards. A line of STAMPS is a name and a time.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from states import LAYER_BYTES, make_state, sync

import perdure
from perdure.memory import MemoryTier
from perdure.saver import Saver

STEP = 0.05
"""Seconds."""
stamps, way, megabytes = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
model, optimizer = make_state(max(megabytes * 1_000_000 // LAYER_BYTES, 1))


def stamp(name: str) -> None:
    with stamps.open("a") as file:
        file.write(f"{name} {time.clock_gettime(time.CLOCK_BOOTTIME)}\n")


def train_under_perdure() -> None:
    _stamp_around(Saver, "save_by", "told", "committed")
    _stamp_around(MemoryTier, "take_snapshot", None, "copied")
    with perdure.Run(model=model, optimizer=optimizer, every="15s") as run:
        while True:
            time.sleep(STEP)
            run.report()


def _stamp_around(kind: type, name: str, before: str | None, after: str) -> None:
    """Notes when that method was called, and when it had returned."""
    method: Callable[..., Any] = getattr(kind, name)

    def call(*arguments: Any, **more: Any) -> Any:
        if before is not None:
            stamp(before)
        found = method(*arguments, **more)
        stamp(after)
        return found

    setattr(kind, name, call)


def train_with_a_handler() -> None:
    def save(*_: object) -> None:
        stamp("told")
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "checkpoint.pth")
        sync(Path("checkpoint.pth"))
        stamp("committed")

    signal.signal(signal.SIGUSR1, save)
    stamp("ready")
    while True:
        time.sleep(STEP)


train_under_perdure() if way == "run" else train_with_a_handler()
