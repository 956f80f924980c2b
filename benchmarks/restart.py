"""From the SIGKILL of a training process to the next one at work: Perdure beside what people use today.

    python benchmarks/restart.py

Every contender supervises the same script at the same time and they are killed in turn, so each process has lived for
a while (`LIFE`) when it dies, which supervisor asks for before it counts a start as a success. The time ends with the
first line of the new process (`job_stdlib.py`, a bare interpreter), or with its first optimizer step (`job_torch.py`).

With a standby, a kill waits until one stands ready, as it does in a training that runs for longer than a start takes.

Perdure makes an attempt that saved nothing new wait before the next one, as does anybody who fears a crash loop; after
progress it does not. So the script commits one small checkpoint in each attempt, under Perdure alone.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from support import (
    HERE,
    PERDURE,
    PYTHON,
    background,
    compare,
    describe_machine,
    find_program,
    format_spec,
    print_table,
    private_daemon,
    read_clock,
    read_stamps,
    report_missing,
    scratch_directory,
    take_turns,
    wait_for,
)

ROUNDS, TRAINING_ROUNDS = 9, 5
LIFE = 1.5
"""Seconds that a process lives before it is killed; more than supervisor's `startsecs`, which is 1."""
BARE = (PYTHON, "-I", "-S", str(HERE / "job_stdlib.py"))
TRAINING = (PYTHON, str(HERE / "job_torch.py"))
LOOP = "shell loop"

Settle = Callable[[], object]
"""Returns when all is as it is most of the time."""
Supervise = Callable[[Path, Sequence[str]], AbstractContextManager[Settle]]
WITHOUT = "[standby]\nenabled = false\n"


def at_once() -> None:
    """There is nothing to wait for but the life of the process."""


def measure_restart(name: str, stamps: Path, settle: Settle) -> dict[str, float]:
    """Kills the process that stamped last; the seconds until the time in the next one's stamp."""
    seen = wait_for(partial(read_stamps, stamps), "the first start")
    pid, started_at = seen[-1]
    time.sleep(max(0.0, started_at + LIFE - read_clock()))
    settle()
    killed_at = read_clock()
    os.kill(pid, signal.SIGKILL)
    after = wait_for(lambda: read_stamps(stamps)[len(seen) :], f"a new process after {pid}")
    return {name: after[0][1] - killed_at}


# Contenders: each supervises a command in a directory for the time of a block -------------------------------------


@contextmanager
def under_daemon(workdir: Path, command: Sequence[str]) -> Iterator[Settle]:
    with private_daemon() as daemon:
        daemon.submit(workdir, command, WITHOUT)
        yield at_once


@contextmanager
def under_daemon_with_standby(workdir: Path, command: Sequence[str]) -> Iterator[Settle]:
    with private_daemon() as daemon:
        job = daemon.submit(workdir, command)

        def is_ready() -> bool:
            standby = daemon.client.show(job)["standby"]
            return standby is not None and standby["state"] == "ready"

        yield partial(wait_for, is_ready, "the standby", pause=0.1)


@contextmanager
def under_run(workdir: Path, command: Sequence[str]) -> Iterator[Settle]:
    (workdir / "job.toml").write_text(format_spec(command, '[stop]\ngrace = "1s"\n' + WITHOUT))
    with background([PERDURE, "run", "job.toml"], workdir):
        yield at_once


@contextmanager
def under_loop(workdir: Path, command: Sequence[str]) -> Iterator[Settle]:
    with background(["sh", "-c", 'while true; do "$@"; done', "sh", *command], workdir):
        yield at_once


@contextmanager
def under_supervisor(program: str, workdir: Path, command: Sequence[str]) -> Iterator[Settle]:
    (workdir / "supervisord.conf").write_text(
        "[supervisord]\nnodaemon=true\nlogfile=supervisord.log\npidfile=supervisord.pid\n"
        f"[program:job]\ncommand={' '.join(command)}\nautorestart=true\nstdout_logfile=job.log\n"
    )
    with background([program, "-c", "supervisord.conf"], workdir):
        yield at_once


@contextmanager
def under_torchrun(options: Sequence[str], workdir: Path, command: Sequence[str]) -> Iterator[Settle]:
    torchrun = [PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"]
    whole = [*torchrun, "--max-restarts=1000", *options, "--no-python", *command]
    with background(whole, workdir, {"OMP_NUM_THREADS": "1"}):
        yield at_once


def compare_restarts(title: str, command: Sequence[str], contenders: Mapping[str, Supervise], rounds: int) -> None:
    with scratch_directory() as root, ExitStack() as running:
        turns = []
        for number, (name, supervise) in enumerate(contenders.items()):
            workdir = root / str(number)
            workdir.mkdir()
            stamps = workdir / "stamps"
            settle = running.enter_context(supervise(workdir, [*command, str(stamps)]))
            turns.append(partial(measure_restart, name, stamps, settle))
        results = take_turns(turns, rounds)
    rows = compare(results, LOOP, 1000)
    print_table(title, ["supervised by", "ms", "times the shell loop"], rows)


def main() -> None:
    print(describe_machine())
    perdure: dict[str, Supervise] = {"Perdure": under_daemon, "perdure run": under_run}
    torchrun: dict[str, Supervise] = {
        "torchrun": partial(under_torchrun, ()),
        "torchrun, monitor interval 10 ms": partial(under_torchrun, ("--monitor-interval=0.01",)),
    }
    others: dict[str, Supervise] = {LOOP: under_loop}
    supervisord = find_program("supervisord")
    if supervisord is None:
        report_missing("supervisor", "pip install supervisor")
    else:
        others["supervisor"] = partial(under_supervisor, supervisord)
    compare_restarts("SIGKILL → first line of the next process", BARE, {**perdure, **others, **torchrun}, ROUNDS)
    compare_restarts(
        "SIGKILL → first optimizer step of a tiny torch model",
        TRAINING,
        {
            "Perdure, with a standby": under_daemon_with_standby,
            "Perdure, without": under_daemon,
            LOOP: under_loop,
            "torchrun": torchrun["torchrun"],
        },
        TRAINING_ROUNDS,
    )


if __name__ == "__main__":
    main()
