"""What a notice is worth: goodput on spot machines under what people do, and under the planner; and how long it takes
from a notice to a checkpoint.

    python benchmarks/preemption.py [--traces DIR] [--seeds N] [--only traces|jobs]

The first part replays the lives of spot machines in simulated time, months in seconds: see `spot.py`, which also says
where real traces come from; without `--traces` they are drawn from seeds. Goodput is training that was kept, over the
time in which there was a machine.

| policy | saves now and then | at a notice |
|---|---|---|
| fixed interval | every 30 min, training stands still | nothing: what people run who catch no signal |
| handler | the same | saves at once in the signal's handler, and ends |
| planner, same interval | the same | asks the daemon's planner |
| Perdure | by the interval `auto`, while training goes on | the same |

In the second part a real job under a real daemon is told of notices, and each phase is measured until its checkpoint is
durable, beside a `torch.save` in a signal's handler; and how much of a longer window it trains through.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from spot import (
    Forewarning,
    Policy,
    Run,
    Size,
    Trace,
    count_ideal,
    draw_trace,
    heed_by_plan,
    heed_in_the_handler,
    load_traces,
    replay,
    save_as_chosen,
    save_every,
)

from support import (
    HERE,
    PYTHON,
    Daemon,
    background,
    describe_machine,
    format_spread,
    print_table,
    private_daemon,
    read_clock,
    scratch_directory,
    show_progress,
    wait_for,
)

HALF_AN_HOUR = 1800.0
SIZES = (
    Size("small: starts in 30 s, copy 0.1 s, write 2 s", start=30.0, step=0.3, copy=0.1, write=2.0),
    Size("middling: 90 s, 1 s, 20 s", start=90.0, step=1.0, copy=1.0, write=20.0),
    Size("large: 240 s, 3 s, 60 s", start=240.0, step=5.0, copy=3.0, write=60.0),
)
WARNINGS = (
    Forewarning("120 s, kept", 120.0, "exact", 120.0),
    Forewarning("30 s, kept", 30.0, "exact", 30.0),
    Forewarning("30 s at most, 5 s at least", 30.0, "ceiling", 5.0),
)
POLICIES = (
    Policy("fixed interval", save_every(HALF_AN_HOUR), None),
    Policy("fixed, 10 min", save_every(HALF_AN_HOUR / 3), None),
    Policy("handler", save_every(HALF_AN_HOUR), heed_in_the_handler),
    Policy("planner, same interval", save_every(HALF_AN_HOUR), heed_by_plan),
    Policy("Perdure", save_as_chosen, heed_by_plan),
)
REPEATS = 4
"""Of each trace, with other saves and other windows."""
MEGABYTES = 200
ROUNDS = 7
LONG_ROUNDS = 3
LONG_WINDOW = 45.0
"""Seconds: enough for a late save."""
ENOUGH = 5.0
"""Seconds: too short for one."""


# Traces ----------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    policy: str
    goodput: float
    lost: float
    """Seconds of training, each time that a machine went."""
    used: float | None
    """Of the windows, the share that was trained through and kept."""


def replay_all(traces: Sequence[Trace], size: Size, warning: Forewarning) -> list[Row]:
    """One row for each policy, and one for a job that loses nothing but its starts."""
    available, rows = sum(trace.available for trace in traces) * REPEATS, []
    for policy in POLICIES:
        show_progress(f"{size.name}, {warning.name}: {policy.name}")
        runs = [replay(trace, size, warning, policy, seed) for trace in traces for seed in range(REPEATS)]
        rows.append(_sum_up(policy.name, runs, available))
    show_progress("")
    ideal = sum(count_ideal(trace, size) for trace in traces) * REPEATS
    return [*rows, Row("ideal", ideal / available, 0.0, None)]


def _sum_up(name: str, runs: Sequence[Run], available: float) -> Row:
    windows = sum(run.window_seconds for run in runs)
    return Row(
        name,
        sum(run.saved for run in runs) / available,
        sum(run.lost for run in runs) / sum(run.ends for run in runs),
        sum(run.in_windows for run in runs) / windows if windows else None,
    )


def format_rows(rows: Sequence[Row]) -> list[list[str]]:
    fixed, ideal = rows[0].goodput, rows[-1].goodput
    return [
        [
            *(row.policy, f"{row.goodput:.3f}", f"{row.goodput / fixed:.2f}", f"{row.goodput / ideal:.3f}"),
            *(f"{row.lost:.0f}", "-" if row.used is None else f"{row.used:.0%}"),
        ]
        for row in rows
    ]


def describe_traces(traces: Sequence[Trace]) -> str:
    lives = [end - begin for trace in traces for begin, end in trace.lives]
    days, middle = sum(trace.available for trace in traces) / 86400, statistics.median(lives) / 60
    return f"{len(traces)} traces, {len(lives)} machines, {days:.0f} days; half of them live less than {middle:.0f} min"


def report_traces(name: str, traces: Sequence[Trace]) -> None:
    print(f"\n{name}: {describe_traces(traces)}")
    head = ["policy", "goodput", "times the fixed interval", "of the ideal", "lost per end, s", "of the windows used"]
    for size in SIZES:
        for warning in WARNINGS:
            print_table(f"{size.name}; warned {warning.name}", head, format_rows(replay_all(traces, size, warning)))


def report_all_traces(folder: Path | None, seeds: int) -> None:
    if folder is None:
        report_traces("Drawn", [draw_trace(seed) for seed in range(seeds)])
        return
    report_traces("Machines that were held", load_traces(folder, "preemption"))
    report_traces("Machines that could have been had", load_traces(folder, "availability"))


# Jobs ------------------------------------------------------------------------------------------------------------


class Job:
    """A training under Perdure that has saved, so that what it takes is known."""

    def __init__(self, daemon: Daemon, root: Path) -> None:
        self._daemon, self._stamps = daemon, root / "stamps"
        self._notice = daemon.state / "notices" / "spot"
        words = [PYTHON, str(HERE / "job_notice.py"), str(self._stamps), "run", str(MEGABYTES)]
        self._id = daemon.submit(root / "work", words)
        self._wait(lambda shown: shown["checkpoint"] is not None, "its first checkpoint")
        self._go_on()

    def answer(self, window: float) -> dict[str, float]:
        """Seconds of each phase of one notice, which is withdrawn afterwards."""
        self._stamps.unlink(missing_ok=True)
        began = self._announce(window)
        self._wait(lambda shown: shown["state"] == "parked", "it to stand still")
        parked, told = read_clock(), read_last_stamps(self._stamps)
        self._notice.unlink()
        self._go_on()
        moments = [began, told["told"], told["copied"], told["committed"], parked]
        names = ["until it is told, at a safe point", "copied into memory", "durable", "seen to stand still"]
        phases = {name: end - begin for name, begin, end in zip(names, moments, moments[1:], strict=False)}
        return {**phases, "from the notice until it is durable": told["committed"] - began}

    def use(self, window: float) -> dict[str, float]:
        """The share of a window that it trains through, all of which is kept."""
        seconds = self.answer(window)["until it is told, at a safe point"]
        return {"trained through and kept, of the window": seconds / window}

    def _announce(self, window: float) -> float:
        new = self._notice.with_name(".new")
        new.write_text(f"deadline = {window:g}s\nsureness = exact\ndisk = kept\nwhy = a benchmark")
        began = read_clock()
        new.rename(self._notice)
        return began

    def _go_on(self) -> None:
        before = self._show()["step"] or 0
        self._wait(lambda shown: shown["state"] == "running" and (shown["step"] or 0) >= before + 40, "forty steps")

    def _show(self) -> dict:
        return self._daemon.client.show(self._id)

    def _wait(self, is_reached: Callable[[dict], bool], what: str) -> None:
        wait_for(lambda: is_reached(self._show()), what, 0.01)


def read_last_stamps(path: Path) -> dict[str, float]:
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return {name: float(at) for name, at in lines}


def save_in_the_handler(pid: int, stamps: Path) -> dict[str, float]:
    stamps.unlink(missing_ok=True)
    began = read_clock()
    os.kill(pid, signal.SIGUSR1)
    wait_for(lambda: "committed" in read_last_stamps(stamps), "the handler")
    return {"torch.save and fsync in a signal's handler": read_last_stamps(stamps)["committed"] - began}


def measure_answers() -> dict[str, list[float]]:
    results: dict[str, list[float]] = {}
    with scratch_directory() as root, private_daemon() as daemon:
        job, stamps = Job(daemon, root), root / "handler"
        words = [PYTHON, str(HERE / "job_notice.py"), str(stamps), "handler", str(MEGABYTES)]
        (root / "alone").mkdir()
        with background(words, root / "alone") as pid:
            wait_for(lambda: "ready" in read_last_stamps(stamps), "the script with the handler")
            for number in range(ROUNDS):
                show_progress(f"round {number + 1} of {ROUNDS}")
                for name, value in (job.answer(ENOUGH) | save_in_the_handler(pid, stamps)).items():
                    results.setdefault(name, []).append(value)
        for number in range(LONG_ROUNDS):
            show_progress(f"long window {number + 1} of {LONG_ROUNDS}")
            for name, value in job.use(LONG_WINDOW).items():
                results.setdefault(name, []).append(value)
    show_progress("")
    return results


def report_answers() -> None:
    results = measure_answers()
    (share,) = (results.pop(name) for name in list(results) if "of the window" in name)
    rows = [[name, format_spread(values, 1000)] for name, values in results.items()]
    print_table(f"A notice of {ENOUGH:g} s; {MEGABYTES} MB, steps of 50 ms", ["phase", "ms"], rows)
    print(f"\nOf a window of {LONG_WINDOW:g} s, trained through and kept: {format_spread(share, 100)} %")


def main() -> None:
    parser = argparse.ArgumentParser(description="What a notice is worth.")
    parser.add_argument("--traces", type=Path, metavar="DIR", help="a clone of skypilot-org/spot-traces")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="traces to draw if there are no real ones")
    parser.add_argument("--only", choices=["traces", "jobs"], help="one of the two parts")
    arguments = parser.parse_args()
    print(describe_machine())
    if arguments.only != "jobs":
        report_all_traces(arguments.traces, arguments.seeds)
    if arguments.only != "traces":
        report_answers()


if __name__ == "__main__":
    main()
