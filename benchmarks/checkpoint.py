"""What a checkpoint of 1.5 GB costs: how long training stands still, how long until it is durable, what it does to the
steps beside it, and what memory it takes.

    python benchmarks/checkpoint.py [MEGABYTES]

Beside two limits of the machine, taken in the same rounds: a plain copy of the same bytes into memory that is there
already, and the same bytes written by four threads around the page cache and synced. Where TMPDIR lies is the disk that
is measured.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from job_memory import DISK, MEMCPY
from job_steps import ALONE, EACH_SECOND, IDLE, PACED, SAVING

from perdured.processes import Order, start_keeper
from support import HERE, PYTHON, compare, describe_machine, print_table, scratch_directory, wait_for

ROUNDS = 7
STALLS = ("Perdure: a snapshot in memory", "DCP async_save: its call", "torch.save, fsync")


def run_job(script: str, root: Path, megabytes: int) -> list[Mapping[str, float]]:
    """What it has printed. It runs under a keeper, as every job of Perdure does."""
    directory = root / "attempt"
    command = (PYTHON, str(HERE / script), str(root), str(ROUNDS), str(megabytes))
    asyncio.run(start_keeper(Order(directory, "bench", 1, command, dict(os.environ), str(root), signal.SIGTERM, 10.0)))
    wait_for((directory / "exit.json").exists, "the job to end", pause=0.5, ceiling=600.0)
    lines = (directory / "output.log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def measure_saves(megabytes: int) -> None:
    with scratch_directory() as root:
        size, _, *rounds = run_job("job_memory.py", root, megabytes)  # the first round warms up
    print(f"{size['bytes'] / 1e6:,.0f} MB in {size['tensors']} tensors, {len(rounds)} rounds")
    results = {name: [each[name] for each in rounds] for name in rounds[0]}
    stalls = {name: results[name] for name in (MEMCPY, *STALLS)}
    print_table("Training stands still", ["", "ms", "times the memcpy"], compare(stalls, MEMCPY, 1000, ".0f"))
    durable = {DISK: results[DISK]}
    durable |= {name: values for name, values in results.items() if name not in (*STALLS[:2], MEMCPY, DISK)}
    print_table("Until it is durable", ["", "ms", "times the disk"], compare(durable, DISK, 1000, ".0f"))


def measure_steps(megabytes: int) -> None:
    with scratch_directory() as root:
        size, _, *rounds = run_job("job_steps.py", root, megabytes)
    results = {name: [each[name] for each in rounds] for name in rounds[0]}
    tails = {name: results[name] for name in (IDLE, SAVING)}
    print_table("Beside a save", ["", "ms", "times idle"], compare(tails, IDLE, 1000, ".2f"))
    steps = {name: results[name] for name in (ALONE, PACED, EACH_SECOND)}
    print_table("A step, all told", ["", "ms", "times without"], compare(steps, ALONE, 1000, ".3f", ".3f"))
    print(f"\nPeak memory beyond the state: {size['grown'] / size['bytes']:.3f} times the state, the arenas included")


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    print(describe_machine())
    measure_saves(megabytes)
    measure_steps(megabytes)


if __name__ == "__main__":
    main()
