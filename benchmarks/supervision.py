"""What supervising costs and how fast it is, for each number that was promised, beside supervisor and circus.

    python benchmarks/supervision.py [PART…]      crowd, adoption, replacement, exit, history; all of them without one

| part | |
|---|---|
| crowd | 200 trivial jobs at once: memory and CPU of who supervises, and of a keeper; how long a list of them takes |
| adoption | the daemon killed with the same 200 jobs: until the next one holds them all, and none runs twice |
| replacement | a child killed, without a standby: until its replacement runs |
| exit | a process ended: until that is durable, and until the daemon has recorded it |
| history | the daemon's start with 10,000 finished jobs in its registry |

A hang noticed, a thousand jobs drained and the next step of a training have files of their own: `hang.py`, `queued.py`,
`restart.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from history import fill_history
from idle import SLEEP, count_pidfds, submit_jobs
from restart import (
    BARE,
    LOOP,
    ROUNDS,
    Supervise,
    measure_restart,
    under_daemon,
    under_loop,
    under_run,
    under_supervisor,
)

from support import (
    PERDURE,
    PYTHON,
    Daemon,
    background,
    compare,
    describe_machine,
    find_program,
    format_spread,
    list_children,
    print_table,
    private_daemon,
    read_clock,
    read_cpu_seconds,
    read_memory,
    report_missing,
    scratch_directory,
    show_progress,
    take_turns,
    wait_for,
)

JOBS, FINISHED = 200, 10_000
WINDOW, LOOKS = 20.0, 5
EXITS = 9


class Crowd(NamedTuple):
    """Who supervises so many jobs."""

    name: str
    pid: int
    keepers: Sequence[int]
    list_command: Sequence[str]


# 200 jobs at once ------------------------------------------------------------------------------------------------


@contextmanager
def crowd_of_supervisor(program: str) -> Iterator[Crowd]:
    with scratch_directory() as root:
        (root / "supervisord.conf").write_text(
            "[supervisord]\nnodaemon=true\nlogfile=supervisord.log\npidfile=supervisord.pid\n"
            "[unix_http_server]\nfile=%(here)s/s.sock\n[supervisorctl]\nserverurl=unix://%(here)s/s.sock\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[program:job]\ncommand={' '.join(SLEEP)}\nnumprocs={JOBS}\nprocess_name=%(process_num)d\n"
        )
        with background([program, "-c", "supervisord.conf"], root) as pid:
            wait_for(lambda: len(list_children(pid)) == JOBS, "supervisor's jobs to run", pause=0.1)
            control = Path(program).with_name("supervisorctl")
            yield Crowd("supervisor", pid, (), (str(control), "-c", str(root / "supervisord.conf"), "status"))


@contextmanager
def crowd_of_circus(program: str) -> Iterator[Crowd]:
    with scratch_directory() as root:
        endpoint = f"ipc://{root}/control"
        (root / "circus.ini").write_text(
            f"[circus]\nendpoint = {endpoint}\npubsub_endpoint = ipc://{root}/news\n"
            f"[watcher:job]\ncmd = {SLEEP[0]}\nargs = {SLEEP[1]}\nnumprocesses = {JOBS}\nwarmup_delay = 0\n"
        )
        with background([program, "circus.ini"], root) as pid:
            wait_for(lambda: len(list_children(pid)) >= JOBS, "circus's jobs to run", pause=0.1)
            control = Path(program).with_name("circusctl")
            yield Crowd("circus", pid, (), (str(control), "--endpoint", endpoint, "list", "job"))


def measure_list(crowd: Crowd, env: dict[str, str]) -> dict[str, float]:
    """By the command that a person would use."""
    began = read_clock()
    subprocess.run(crowd.list_command, env={**os.environ, **env}, stdout=subprocess.DEVNULL, check=True)
    return {crowd.name: read_clock() - began}


def print_crowds(crowds: Sequence[Crowd], daemon: Daemon) -> None:
    show_progress(f"idle for {WINDOW:g} s")
    began, before = read_clock(), [_read_cpu(crowd) for crowd in crowds]
    time.sleep(WINDOW)
    took, after = read_clock() - began, [_read_cpu(crowd) for crowd in crowds]
    lists = take_turns([partial(measure_list, crowd, daemon.env) for crowd in crowds], LOOKS)
    rows = []
    for crowd, (own, of_keepers), (own_later, of_keepers_later) in zip(crowds, before, after, strict=True):
        resident, proportional, _ = read_memory(crowd.pid)
        cpu = [f"{100 * (own_later - own) / took:.3f}", f"{100 * (of_keepers_later - of_keepers) / took:.3f}"]
        keepers = [format_spread([read_memory(pid)[1] for pid in crowd.keepers])] if crowd.keepers else [""]
        listing = format_spread(lists[crowd.name], 1000, ".0f")
        rows.append([crowd.name, *cpu, f"{resident:.1f}", f"{proportional:.1f}", *keepers, listing])
    head = ["", "CPU %", "keepers' CPU %", "RSS MB", "PSS MB", "PSS MB of a keeper", "list, ms"]
    print_table(f"{JOBS} trivial jobs at once", head, rows)
    private = format_spread([read_memory(pid)[2] for pid in crowds[0].keepers])
    looks = [_time(daemon.client.list_jobs) for _ in range(LOOKS)]
    print(f"\nPrivate to a keeper: {private} MB. The API's list: {format_spread(looks, 1000)} ms")


def _read_cpu(crowd: Crowd) -> tuple[float, float]:
    return read_cpu_seconds(crowd.pid), sum(map(read_cpu_seconds, crowd.keepers))


def _time(act: Callable[[], object]) -> float:
    began = read_clock()
    act()
    return read_clock() - began


def measure_crowd(*, with_peers: bool = True, with_adoption: bool = True) -> None:
    with ExitStack() as running:
        root, daemon = running.enter_context(scratch_directory()), running.enter_context(private_daemon())
        keepers = submit_jobs(daemon, root, JOBS)
        if with_peers:
            crowds = [Crowd("Perdure", daemon.pid, keepers, (PERDURE, "ps"))]
            for name, gather in (("supervisord", crowd_of_supervisor), ("circusd", crowd_of_circus)):
                program = find_program(name)
                if program is None:
                    report_missing(name, "pip install supervisor circus, and have them in PATH")
                else:
                    crowds.append(running.enter_context(gather(program)))
            print_crowds(crowds, daemon)
        if with_adoption:
            print_adoption(daemon)


# Adopted ---------------------------------------------------------------------------------------------------------


def print_adoption(daemon: Daemon) -> None:
    """Adopted is a job to whose keeper the daemon holds a pidfd, which it opens last of all when it has its proof."""
    before = _list_processes(daemon)
    turns = [_start_interpreter, partial(_adopt, daemon)]
    rows = compare(take_turns(turns, LOOKS), "an interpreter with the daemon's imports", 1000, ".0f")
    print_table(f"A daemon killed with {JOBS} jobs and started again", ["until", "ms", "times the first"], rows)
    is_same = _list_processes(daemon) == before
    print(f"\nEvery job has the process that it had: {'yes' if is_same else 'NO'}")


def _start_interpreter() -> dict[str, float]:
    command = [PYTHON, "-c", "import perdured.__main__"]
    return {"an interpreter with the daemon's imports": _time(partial(subprocess.run, command, check=True))}


def _adopt(daemon: Daemon) -> dict[str, float]:
    daemon.kill()
    began = read_clock()
    daemon.start()
    wait_for(lambda: count_pidfds(daemon.pid) >= JOBS, f"{JOBS} jobs to be adopted")
    adopted = read_clock() - began
    daemon.wait_until_it_answers()
    return {"all are adopted": adopted, "it answers": read_clock() - began}


def _list_processes(daemon: Daemon) -> dict[str, list[int]]:
    return {job["id"]: [attempt["pid"] for attempt in job["attempts"]] for job in daemon.client.list_jobs()}


# Replaced --------------------------------------------------------------------------------------------------------


@contextmanager
def under_circus(program: str, workdir: Path, command: Sequence[str]) -> Iterator[Callable[[], object]]:
    (workdir / "circus.ini").write_text(
        f"[circus]\nendpoint = ipc://{workdir}/control\npubsub_endpoint = ipc://{workdir}/news\n"
        f"[watcher:job]\ncmd = {command[0]}\nargs = {' '.join(command[1:])}\ncopy_env = True\n"
    )
    with background([program, "circus.ini"], workdir):
        yield lambda: None


def measure_replacement() -> None:
    contenders: dict[str, Supervise] = {"Perdure": under_daemon, "perdure run": under_run, LOOP: under_loop}
    for name, supervise in (("supervisord", under_supervisor), ("circusd", under_circus)):
        program = find_program(name)
        if program is None:
            report_missing(name, "pip install supervisor circus, and have them in PATH")
        else:
            contenders[name] = partial(supervise, program)
    with scratch_directory() as root, ExitStack() as running:
        turns = []
        for number, (name, supervise) in enumerate(contenders.items()):
            workdir = root / str(number)
            workdir.mkdir()
            settle = running.enter_context(supervise(workdir, [*BARE, str(workdir / "stamps")]))
            turns.append(partial(measure_restart, name, workdir / "stamps", settle))
        rows = compare(take_turns(turns, ROUNDS), LOOP, 1000)
    print_table("A child killed → its replacement's first line", ["by", "ms", "times the shell loop"], rows)


# Ended -----------------------------------------------------------------------------------------------------------


def measure_exits() -> None:
    with private_daemon() as daemon, scratch_directory() as root:
        results = take_turns([partial(_end_one, daemon, root)], EXITS)
    rows = [[name, format_spread(values, 1000)] for name, values in results.items()]
    print_table("A process killed, until", ["", "ms"], rows)


def _end_one(daemon: Daemon, root: Path) -> dict[str, float]:
    workdir = root / str(len(list(root.iterdir())))
    job = daemon.submit(workdir, SLEEP, "[restart]\nbackoff = '5min..5min'\n")
    pid = wait_for(partial(_find_leader, daemon, job), "a process")
    exit_file = daemon.state / "jobs" / job / "attempts" / "1" / "exit.json"
    newest = daemon.client.list_events(0, job)["next"]
    began = read_clock()
    os.kill(pid, signal.SIGKILL)
    wait_for(exit_file.exists, "the keeper's record", pause=0.0002)
    durable = read_clock() - began
    daemon.client.list_events(newest, job, wait=10.0)
    recorded = read_clock() - began
    daemon.client.ask(job, "stop")
    return {"its keeper has recorded it": durable, "the daemon has recorded it, and told": recorded}


def _find_leader(daemon: Daemon, job: str) -> int | None:
    attempts = daemon.client.show(job)["attempts"]
    return attempts[-1]["pid"] if attempts else None


# Started with a past ---------------------------------------------------------------------------------------------


def measure_history() -> None:
    rows = []
    for finished in (0, FINISHED):
        with private_daemon() as daemon, scratch_directory() as root:
            if finished:
                fill_history(daemon, root, finished)
            results = take_turns([partial(_restart, daemon)], LOOKS)
            resident = read_memory(daemon.pid)[0]
        columns = [format_spread(results[name], 1000, ".0f") for name in ("ready", "answers")]
        rows.append([f"{finished:,} finished jobs", *columns, f"{resident:.0f}"])
    print_table("The daemon's start", ["with", "ready, ms", "answers, ms", "RSS MB"], rows)


def _restart(daemon: Daemon) -> dict[str, float]:
    daemon.kill()
    lines = daemon.log.read_text().count("ready;")
    began = read_clock()
    daemon.start()
    wait_for(lambda: daemon.log.read_text().count("ready;") > lines, "it to be ready")
    ready = read_clock() - began
    daemon.wait_until_it_answers()
    answers = read_clock() - began
    return {"ready": ready, "answers": answers}


PARTS: dict[str, Callable[[], None]] = {
    "crowd": partial(measure_crowd, with_adoption=False),
    "adoption": partial(measure_crowd, with_peers=False),
    "replacement": measure_replacement,
    "exit": measure_exits,
    "history": measure_history,
}


def main(names: Sequence[str]) -> int:
    wrong = [name for name in names if name not in PARTS]
    if wrong:
        print(f"There is no part {wrong[0]!r}. There are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print(describe_machine())
    if not names:  # the same 200 jobs serve both
        names = ("both", *[name for name in PARTS if name not in ("crowd", "adoption")])
    for name in names:
        {**PARTS, "both": measure_crowd}[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
