"""From a submit to the process at work, and from a process's death to a record of it that survives a power cut.

    python benchmarks/submit.py

A submit is answered when the job is durable, with its environment; it starts a moment later. Both are timed, for
the whole command, interpreter included, and for a program that speaks to the daemon's socket itself.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from perdured.contract.durable import write_file
from perdured.processes import KeeperStatus, Order, connect_keeper, start_keeper
from support import (
    HERE,
    PERDURE,
    PYTHON,
    Daemon,
    Turn,
    compare,
    describe_machine,
    format_spec,
    print_table,
    private_daemon,
    read_clock,
    read_stamps,
    scratch_directory,
    take_turns,
    wait_for,
)

ROUNDS = 9
BY_HAND = "started by hand: its first line"
ONE_FILE = "one small file made durable"
_numbers = itertools.count()


def make_job(root: Path) -> tuple[Path, Sequence[str]]:
    """A directory of its own, and a command that notes its start there and ends at once."""
    workdir = root / f"job-{next(_numbers)}"
    workdir.mkdir()
    return workdir, (PYTHON, "-I", "-S", str(HERE / "job_stdlib.py"), str(workdir / "stamps"), "0")


def wait_for_start(workdir: Path) -> float:
    return wait_for(partial(read_stamps, workdir / "stamps"), "the job to start")[0][1]


def start_by_hand(root: Path) -> dict[str, float]:
    workdir, command = make_job(root)
    began = read_clock()
    process = subprocess.Popen(command, cwd=workdir)
    started = wait_for_start(workdir)
    process.wait()
    return {BY_HAND: started - began}


def submit_by_command(daemon: Daemon, root: Path) -> dict[str, float]:
    workdir, command = make_job(root)
    (workdir / "job.toml").write_text(format_spec(command))
    began = read_clock()
    subprocess.run(
        [PERDURE, "submit", "job.toml"],
        cwd=workdir,
        env={**os.environ, **daemon.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    answered = read_clock()
    return {
        "perdure submit: its answer": answered - began,
        "perdure submit: the job's first line": wait_for_start(workdir) - began,
    }


def submit_by_api(daemon: Daemon, root: Path) -> dict[str, float]:
    workdir, command = make_job(root)
    began = read_clock()
    daemon.submit(workdir, command)
    answered = read_clock()
    return {"the API: its answer": answered - began, "the API: the job's first line": wait_for_start(workdir) - began}


def compare_submits() -> None:
    with private_daemon() as daemon, scratch_directory() as root:
        by_command, by_api = partial(submit_by_command, daemon, root), partial(submit_by_api, daemon, root)
        results = take_turns([partial(start_by_hand, root), by_command, by_api], ROUNDS)
    head = ["from submit to", "ms", f"times “{BY_HAND}”"]
    print_table("Submit", head, compare(results, BY_HAND, 1000))


# Death → record --------------------------------------------------------------------------------------------------


def write_one_file(root: Path) -> dict[str, float]:
    """What every durable record costs here at least: write, fsync, rename, fsync of the directory."""
    began = read_clock()
    write_file(root / "record.json", b"x" * 400)
    return {ONE_FILE: read_clock() - began}


def reap_by_hand() -> dict[str, float]:
    process = subprocess.Popen(["sleep", "3600"])
    began = read_clock()
    process.kill()
    process.wait()
    return {"killed: its parent has reaped it": read_clock() - began}


def record_by_keeper(root: Path) -> dict[str, float]:
    """The keeper tells the end to whoever listens after exit.json is durable, so hearing it is an upper bound."""
    directory = root / f"attempt-{next(_numbers)}"
    return {"killed: exit.json is durable, and told": asyncio.run(_kill_and_hear(directory))}


async def _kill_and_hear(directory: Path) -> float:
    order = Order(directory, "bench", 1, ("sleep", "3600"), dict(os.environ), "/", signal.SIGTERM, 10.0)
    await start_keeper(order)
    ended, gone = asyncio.Event(), asyncio.Event()

    def hear(status: KeeperStatus) -> None:
        if status.exit is not None:
            ended.set()

    link = await connect_keeper(directory, hear, gone.set)
    await asyncio.sleep(0.2)
    began = read_clock()
    os.kill(link.pid, signal.SIGKILL)
    await ended.wait()
    took = read_clock() - began
    await gone.wait()
    return took


def compare_records() -> None:
    with scratch_directory() as root:
        turns: list[Turn] = [partial(write_one_file, root), reap_by_hand, partial(record_by_keeper, root)]
        results = take_turns(turns, ROUNDS)
    print_table("Death → durable record", ["", "ms", f"times “{ONE_FILE}”"], compare(results, ONE_FILE, 1000, ".2f"))


if __name__ == "__main__":
    print(describe_machine())
    compare_submits()
    compare_records()
