"""A job of `checkpoint.py`: what a save does to the steps beside it, and what all of it takes of memory.

    python job_steps.py DIRECTORY ROUNDS MEGABYTES

The state is as large as in `job_memory.py`; a step is some small products of matrices, by one thread, and changes none
of it: what is measured is what saving does to computing. Prints a JSON object with what it takes of memory, then one a
round.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

import torch
from job_memory import Contest

from perdure import memory

STEPS = 400
"""In each of the two halves of a round: p99 is the fifth largest."""
SECONDS = 6.0
PRODUCTS = 20
IDLE, SAVING = "a step, p99, with nothing beside it", "a step, p99, while a save is under way"
ALONE, PACED, EACH_SECOND = "steps without a copy", "steps, as Perdure paces itself", "steps, a copy each second"


class Stepper(Contest):
    def __init__(self, root: Path, megabytes: int) -> None:
        super().__init__(root, megabytes)
        torch.set_num_threads(1)
        self.matrix = torch.randn(256, 256)

    def step(self) -> float:
        """Seconds of computing, without what `report` does after it."""
        began = time.monotonic()
        for _ in range(PRODUCTS):
            self.matrix @ self.matrix
        return time.monotonic() - began

    def step_beside_nothing(self) -> list[float]:
        memory.SHARE = 1_000_000
        return [self.step() for _ in range(STEPS)]

    def step_beside_saves(self) -> list[float]:
        """One save after the other, as they come with `every`; the copy itself is between two steps."""
        memory.SHARE = 1_000_000
        took: list[float] = []
        saver = self.run._saver
        while len(took) < STEPS:
            self.run.step += 1
            saver.try_to_save(self.run._request(self.run._capture()))
            while saver._requested and len(took) < STEPS:
                took.append(self.step())
                saver._hear_all()
        while saver._requested:
            self.run._channel.wait()
            saver._hear_all()
        return took

    def count_steps(self, pause: float | None) -> float:
        """Seconds a step, all told; a copy when `pause` is over since the last. None: as it paces itself."""
        memory.SHARE = 100 if pause is None else 1_000_000
        steps, copied, began = 0, 0.0, time.monotonic()
        while time.monotonic() - began < SECONDS:
            self.step()
            if pause is not None and time.monotonic() - copied >= pause:
                memory.SHARE, copied = 0, time.monotonic()
                self.run.report()
                memory.SHARE = 1_000_000
            else:
                self.run.report()
            steps += 1
        return (time.monotonic() - began) / steps

    def measure(self) -> dict[str, float]:
        halves = {IDLE: self.step_beside_nothing(), SAVING: self.step_beside_saves()}
        result = {name: statistics.quantiles(times, n=100)[-1] for name, times in halves.items()}
        return result | {
            ALONE: self.count_steps(1e9),
            PACED: self.count_steps(None),
            EACH_SECOND: self.count_steps(1.0),
        }


def read_status(name: str) -> int:
    """Of this process, in bytes (proc(5))."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    root, rounds, megabytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    stepper = Stepper(root, megabytes)
    del stepper.source, stepper.target
    before = read_status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what comes from here on
    stepper.begin()
    for _ in range(3):
        stepper.take_snapshot()
        stepper.commit()
    grown = read_status("VmHWM") - before
    print(json.dumps({"bytes": stepper.bytes, "grown": grown}), flush=True)
    for _ in range(rounds + 1):
        print(json.dumps(stepper.measure()), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
