"""What supervising costs while nothing happens, in CPU and memory, with 1 job and with 100; and how long a daemon that
was killed needs until it holds all 100 again.

    python benchmarks/idle.py

All contenders idle through the same seconds. Then, in seconds of their own, ten of the hundred jobs report their
progress once a second. CPU is in per cent of one core. PSS counts a page that several processes share in equal parts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from support import (
    HERE,
    PYTHON,
    Daemon,
    background,
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
    wait_for,
)

JOBS, REPORTING = 100, 10
WINDOW = 20.0
ROUNDS = 5
SLEEP = ("sleep", "3600")


class Contender(NamedTuple):
    name: str
    supervisor: int
    keepers: Sequence[int] = ()


def submit_jobs(daemon: Daemon, root: Path, count: int, reporting: int = 0) -> Sequence[int]:
    """Returns the keepers' pids, once every job runs."""
    report = (PYTHON, "-I", "-S", str(HERE / "job_reporting.py"), str(root / "go"))
    for number in range(count):
        daemon.submit(root / f"job-{number}", report if number < reporting else SLEEP)
        show_progress(f"submitted {number + 1} of {count}")
    wait_for(lambda: len(daemon.list_keepers()) == count, f"{count} jobs to run", pause=0.1)
    return daemon.list_keepers()


def start_supervisor(program: str, root: Path, count: int, running: ExitStack) -> int:
    """Returns its pid, once every job runs."""
    root.mkdir()
    (root / "supervisord.conf").write_text(
        "[supervisord]\nnodaemon=true\nlogfile=supervisord.log\npidfile=supervisord.pid\n"
        f"[program:job]\ncommand={' '.join(SLEEP)}\nnumprocs={count}\nprocess_name=%(process_num)d\n"
    )
    pid = running.enter_context(background([program, "-c", "supervisord.conf"], root))
    wait_for(lambda: len(list_children(pid)) == count, f"supervisor's {count} jobs to run", pause=0.1)
    return pid


def measure_cpu(contenders: Sequence[Contender], what: str) -> list[tuple[float, float]]:
    """Per cent of a core through the same seconds: of the supervisor, of its keepers together."""

    def read() -> list[tuple[float, float]]:
        return [(read_cpu_seconds(c.supervisor), sum(map(read_cpu_seconds, c.keepers))) for c in contenders]

    show_progress(f"{what}: {WINDOW:g} s")
    began, before = read_clock(), read()
    time.sleep(WINDOW)
    took, after = read_clock() - began, read()
    show_progress("")
    return [(100 * (s1 - s0) / took, 100 * (k1 - k0) / took) for (s0, k0), (s1, k1) in zip(before, after, strict=True)]


def print_idle(contenders: Sequence[Contender]) -> None:
    rows = []
    for contender, (cpu, of_keepers) in zip(contenders, measure_cpu(contenders, "idle"), strict=True):
        resident, proportional, private = read_memory(contender.supervisor)
        shares = [read_memory(pid)[1] for pid in contender.keepers]
        keepers = [f"{of_keepers:.3f}", format_spread(shares)] if shares else ["", ""]
        own = [f"{cpu:.3f}", f"{resident:.1f}", f"{proportional:.1f}", f"{private:.1f}"]
        rows.append([contender.name, *own, *keepers])
    head = ["", "CPU %", "RSS MB", "PSS MB", "private MB", "keepers' CPU %", "PSS MB of a keeper"]
    print_table("Idle", head, rows)


def print_reporting(contender: Contender) -> None:
    ((cpu, of_keepers),) = measure_cpu([contender], "reporting")
    print(f"\n{REPORTING} of the {JOBS} jobs report once a second: {cpu:.3f} % daemon, {of_keepers:.3f} % keepers")


def print_adoption(daemon: Daemon) -> None:
    """Adopted is a job to whose keeper the daemon holds a pidfd, which it opens last of all when it has its proof."""
    answering, adopted = [], []
    for _ in range(ROUNDS):
        daemon.kill()
        began = read_clock()
        daemon.start()
        wait_for(lambda: count_pidfds(daemon.pid) >= JOBS, f"{JOBS} jobs to be adopted")
        adopted.append(read_clock() - began)
        daemon.wait_until_it_answers()
        answering.append(read_clock() - began)
    rows = [["all adopted", format_spread(adopted, 1000, ".0f")], ["it answers", format_spread(answering, 1000, ".0f")]]
    print_table(f"A daemon killed with {JOBS} jobs and started again, until", ["", "ms"], rows)


def count_pidfds(pid: int) -> int:
    try:
        return sum("pidfd" in os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # a descriptor, or the process, is gone
        return 0


def main() -> None:
    print(describe_machine())
    supervisord = find_program("supervisord")
    with ExitStack() as running:
        roots = [running.enter_context(scratch_directory()) for _ in range(3)]
        few, many = running.enter_context(private_daemon()), running.enter_context(private_daemon())
        contenders = [
            Contender("Perdure, 1 job", few.pid, submit_jobs(few, roots[0], 1)),
            Contender(f"Perdure, {JOBS} jobs", many.pid, submit_jobs(many, roots[1], JOBS, REPORTING)),
        ]
        if supervisord is None:
            report_missing("supervisor", "pip install supervisor")
        else:
            for count in (1, JOBS):
                pid = start_supervisor(supervisord, roots[2] / str(count), count, running)
                contenders.append(Contender(f"supervisor, {count} job{'s' * (count > 1)}", pid))
        has_torch = "libtorch" in Path(f"/proc/{many.pid}/maps").read_text()
        print_idle(contenders)
        print(f"\nThe daemon has torch mapped: {'yes' if has_torch else 'no'}")
        (roots[1] / "go").touch()
        print_reporting(contenders[1])
        print_adoption(many)


if __name__ == "__main__":
    main()
