"""From the last step of a process that hangs to Perdure's verdict, beside what is promised; and slow steps that
must not be taken for one.

    python benchmarks/hang.py

What is promised is 10 times the median step, and at least 10 s. Nothing is told to the supervisor: no limit, no phase.
The jobs of a round run at the same time. Peers are not in the table: torchrun, supervisor, circus and a shell loop do
not notice a hang at all, and what notices one elsewhere waits for 10 to 60 minutes by default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support import (
    HERE,
    PYTHON,
    Daemon,
    describe_machine,
    format_spread,
    print_table,
    private_daemon,
    read_clock,
    read_stamps,
    scratch_directory,
    wait_for,
)

ROUNDS = 3
STEPS = {0.05: 60, 1.5: 24}
"""Seconds of a step, and how many are made before the hang."""
WAYS = ("sleep", "spin")
SLOW_STEPS = 160
"""Of 0.05 s; every fiftieth takes 9 s."""
_CEILING = 120.0


def submit(daemon: Daemon, root: Path, way: str, seconds: float, steps: int) -> tuple[str, Path]:
    workdir = root / f"{way}-{seconds:g}-{len(list(root.iterdir()))}"
    stamps = workdir / "stamps"
    words = [PYTHON, str(HERE / "job_hang.py"), str(stamps), way, f"{seconds:g}", str(steps)]
    return daemon.submit(workdir, words, '[stop]\ngrace = "1s"\n[restart]\nbackoff = "5min..5min"\n'), stamps


def measure_round(daemon: Daemon, root: Path) -> dict[str, float]:
    """Each job's ratio of what it took, from its last step to the verdict, to what was promised."""
    jobs = {
        (way, seconds): submit(daemon, root, way, seconds, steps) for seconds, steps in STEPS.items() for way in WAYS
    }
    took: dict[tuple[str, float], float] = {}
    wait_for(lambda: _note_verdicts(daemon, jobs, took), "every hang to be noticed", 0.02, _CEILING)
    return {f"{way}, steps of {seconds:g} s": took[way, seconds] / max(10 * seconds, 10.0) for way, seconds in jobs}


def _note_verdicts(
    daemon: Daemon, jobs: dict[tuple[str, float], tuple[str, Path]], took: dict[tuple[str, float], float]
) -> bool:
    for key, (job, stamps) in jobs.items():
        shown: Any = daemon.client.show(job)
        # The next attempt begins at once, and writes its own.
        if key not in took and "no step for" in shown["reason"]:
            took[key] = read_clock() - read_stamps(stamps)[-1][1]
    return len(took) == len(jobs)


def count_false_alarms(daemon: Daemon, root: Path) -> int:
    """Of a run with a slow step now and then."""
    job, _ = submit(daemon, root, "slow", 0.05, SLOW_STEPS)
    wait_for(lambda: daemon.client.show(job)["state"] in ("succeeded", "waiting", "failed"), "its end", 0.1, _CEILING)
    return sum(attempt["cause"] == "hang" for attempt in daemon.client.show(job)["attempts"])


def main() -> None:
    print(describe_machine())
    results: dict[str, list[float]] = {}
    with private_daemon() as daemon, scratch_directory() as root:
        for _ in range(ROUNDS):
            for name, ratio in measure_round(daemon, root).items():
                results.setdefault(name, []).append(ratio)
        alarms = count_false_alarms(daemon, root)
    rows = [[name, format_spread(ratios, form=".2f")] for name, ratios in results.items()]
    print_table("Noticed after the last step, of what is promised (goal: under 1)", ("hangs by", "ratio"), rows)
    print(f"\nFalse alarms in {SLOW_STEPS} steps of 0.05 s of which every fiftieth takes 9 s: {alarms} (goal: 0)")


if __name__ == "__main__":
    main()
