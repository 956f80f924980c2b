"""What it costs to import Perdure and to ask it something, beside a bare interpreter.

    python benchmarks/imports.py

"Own" is what comes on top of the interpreter that ran in the same round. CPU time is shown as well, because on a busy
machine the wall time of a short process is mostly other people's.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from support import (
    HERE,
    PERDURE,
    PYTHON,
    Turn,
    describe_machine,
    format_spread,
    print_table,
    private_daemon,
    read_clock,
    take_turns,
)

ROUNDS = 15
BARE = "python -c pass"
BUDGET = 150.0
"""Milliseconds that `perdure ps` may take of its own."""


def run_once(name: str, command: tuple[str, ...]) -> dict[str, float]:
    """Seconds from start to end, and on a CPU."""
    silence = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    began = read_clock()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=silence)
    _, _, used = os.wait4(pid, 0)
    return {f"{name} wall": read_clock() - began, f"{name} cpu": used.ru_utime + used.ru_stime}


def list_commands(socket: Path) -> dict[str, tuple[str, ...]]:
    daemon = str(HERE.parent / "daemon")
    keeper = f"import sys; sys.path.insert(0, {daemon!r}); import perdured.keeper.main"
    return {
        BARE: (PYTHON, "-c", "pass"),
        "python -I -S -c pass": (PYTHON, "-I", "-S", "-c", "pass"),
        "import perdure": (PYTHON, "-c", "import perdure"),
        "import perdured.cli.main": (PYTHON, "-c", "import perdured.cli.main"),
        "perdure --help": (PERDURE, "--help"),
        "perdure ps": (PERDURE, "--socket", str(socket), "ps"),
        "perdure ps, no daemon": (PERDURE, "--socket", "/nonexistent/perdured.sock", "ps"),
        "a keeper's imports (-I -S)": (PYTHON, "-I", "-S", "-c", keeper),
        "the daemon's imports": (PYTHON, "-c", "import perdured.__main__, perdured.api.server"),
    }


def main() -> None:
    print(describe_machine())
    with private_daemon() as daemon:
        commands = list_commands(daemon.socket)
        turns: list[Turn] = [partial(run_once, *item) for item in commands.items()]
        results = take_turns(turns, ROUNDS)
    rows = []
    for name in commands:
        wall, cpu = results[f"{name} wall"], results[f"{name} cpu"]
        own = [mine - bare for mine, bare in zip(wall, results[f"{BARE} wall"], strict=True)]
        own_cpu = [mine - bare for mine, bare in zip(cpu, results[f"{BARE} cpu"], strict=True)]
        rows.append([name, *(format_spread(values, 1000, ".0f") for values in (wall, own, own_cpu))])
    print_table("Start of an interpreter, imports and all", ["", "ms", "own ms", "own CPU ms"], rows)
    print(f"\nBudget of `perdure ps`: {BUDGET:g} ms of its own.")


if __name__ == "__main__":
    main()
