"""A thousand trivial jobs, queued behind one another and then drained: jobs per second, with so many places.

    python benchmarks/queued.py [JOBS]

Each job is `true`, with a checkpoint directory of its own: what is measured is what Perdure does around it, which is to
find whose turn it is, to start a keeper, and to make every step of the job's life durable. Side by side with `xargs
-P`, which starts the same programs and remembers nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from support import (
    CEILING,
    Daemon,
    describe_machine,
    format_spec,
    print_table,
    private_daemon,
    read_clock,
    read_cpu_seconds,
    scratch_directory,
    show_progress,
    wait_for,
)

JOBS = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
PLACES = (1, 4, 16)


class Drained(NamedTuple):
    submit: float
    """Seconds until the last of them was durable."""
    drain: float
    """Seconds from the first start to the last end."""
    cpu: float
    """Seconds of the daemon's, meanwhile."""
    look: float
    """The longest that a list of all jobs took meanwhile."""


def drain_by_xargs(places: int) -> float:
    began = read_clock()
    names = "\n".join(map(str, range(JOBS)))
    subprocess.run(["xargs", "-P", str(places), "-n", "1", "true"], input=names.encode(), check=True)
    return read_clock() - began


def drain_by_perdure(places: int) -> Drained:
    with private_daemon(f"cpus = {places}\n") as daemon, scratch_directory() as root:
        blocker = daemon.submit(root, ("sleep", "3600"), f"priority = 1\n[resources]\ncpus = {places}\n")
        began = read_clock()
        submit_all(daemon, root)
        submitted, cpu = read_clock(), read_cpu_seconds(daemon.pid)
        daemon.client.ask(blocker, "stop")
        longest = wait_until_done(daemon)
        return Drained(submitted - began, read_clock() - submitted, read_cpu_seconds(daemon.pid) - cpu, longest)


def submit_all(daemon: Daemon, root: Path) -> None:
    for number in range(JOBS):
        extra = f"[checkpoint]\ndir = 'checkpoints/{number}'\n[resources]\ncpus = 1\n"
        daemon.client.submit(format_spec(("true",), extra), root, dict(os.environ))
        show_progress(f"{number} of {JOBS} submitted")


def wait_until_done(daemon: Daemon) -> float:
    """The longest that a look took. Twice a second, so that looking is no part of what is measured."""
    longest = 0.0

    def are_all_done() -> bool:
        nonlocal longest
        began = time.monotonic()
        left = [job for job in daemon.client.list_jobs() if job["state"] != "stopped"]
        longest = max(longest, time.monotonic() - began)
        show_progress(f"{JOBS - len(left)} of {JOBS} done")
        return not left

    wait_for(are_all_done, "the queue to drain", pause=0.5, ceiling=max(CEILING, JOBS))
    return longest


def measure(places: int) -> list[str]:
    by_xargs, drained = drain_by_xargs(places), drain_by_perdure(places)
    show_progress("")
    return [
        str(places),
        f"{JOBS / by_xargs:.0f}",
        f"{JOBS / drained.drain:.1f}",
        f"{drained.drain / JOBS * 1000:.1f}",
        f"{drained.cpu / JOBS * 1000:.1f}",
        f"{JOBS / drained.submit:.0f}",
        f"{drained.look * 1000:.0f}",
    ]


if __name__ == "__main__":
    print(describe_machine())
    head = [
        "places",
        "xargs: jobs/s",
        "perdure: jobs/s",
        "ms a job",
        "CPU ms of the daemon",
        "submits/s",
        "ps at most, ms",
    ]
    print_table(f"{JOBS} trivial jobs, queued and drained", head, [measure(places) for places in PLACES])
