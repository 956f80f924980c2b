"""What the benchmarks share: turns taken in order, spreads, tables, a private daemon, and what the kernel knows of a
process.

Rules. A figure counts beside another of the same run only, so the contenders take turns, A B C A B C, and a ratio is
taken within each round: a moment in which the machine was busy elsewhere then weighs on both. Every figure is a median
with its smallest and largest value. Nothing here fails because it was slow.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from perdured.client import Client
from perdured.errors import NoDaemon
from perdured.keeper.identity import Identity, open_process
from perdured.keeper.records import RunRecord, load_run

HERE = Path(__file__).parent
PYTHON = sys.executable
BIN = Path(PYTHON).parent
PERDURE = str(BIN / "perdure")
CEILING = 60.0
"""Seconds; what takes longer is broken, not slow."""

T = TypeVar("T")
Turn = Callable[[], Mapping[str, float]]
"""One measurement: a figure, or several, by name."""

# A benchmark that is told to end takes down what it has started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def read_clock() -> float:
    """Seconds since boot: the same clock in every process, and no step of the wall clock moves it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wait_for(condition: Callable[[], T | None], what: str, pause: float = 0.002, ceiling: float = CEILING) -> T:
    """What `condition` returns, once that is truthy."""
    deadline = read_clock() + ceiling
    while read_clock() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(pause)
    raise TimeoutError(f"waited {ceiling:g} s in vain for {what}")


# Figures ---------------------------------------------------------------------------------------------------------


def take_turns(contenders: Sequence[Turn], rounds: int) -> dict[str, list[float]]:
    """`rounds` measurements by each, in turns, after a first round that warms up and does not count. Who begins
    changes from round to round."""
    results: dict[str, list[float]] = {}
    order = deque(contenders)
    for number in range(rounds + 1):
        show_progress(f"round {number} of {rounds}")
        for measure in order:
            for name, value in measure().items():
                results.setdefault(name, []).append(value)
        order.rotate(-1)
    show_progress("")
    return {name: values[1:] for name, values in results.items()}


def format_spread(values: Sequence[float], scale: float = 1.0, form: str = ".1f") -> str:
    """Median, with the smallest and the largest in brackets."""
    middle, least, most = (f"{x * scale:{form}}" for x in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({least}–{most})"


def compare(
    results: Mapping[str, Sequence[float]], baseline: str, scale: float, form: str = ".1f", ratio: str = ".2f"
) -> list[list[str]]:
    """Rows of name, figure, and ratio to the baseline of the same round."""
    rows = []
    for name, values in results.items():
        ratios = [value / base for value, base in zip(values, results[baseline], strict=True)]
        rows.append([name, format_spread(values, scale, form), format_spread(ratios, form=ratio)])
    return rows


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """As Markdown, so that it can go into a page as it is."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    print(f"\n{title}\n")
    for row in (head, ["-" * width for width in widths], *rows):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    sys.stdout.flush()


def show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# Jobs ------------------------------------------------------------------------------------------------------------


def read_stamps(path: Path) -> list[tuple[int, float]]:
    """The pid of each process that `job_stdlib.py` or `job_torch.py` was, and its time."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), float(at)) for pid, at in (line.split() for line in lines)]


def format_spec(command: Sequence[str], extra: str = "") -> str:
    words = ", ".join(f"'{word}'" for word in command)
    return f"command = [{words}]\n{extra}"


# Contenders ------------------------------------------------------------------------------------------------------


def find_program(name: str) -> str | None:
    """Beside this interpreter, or in PATH."""
    return shutil.which(name, path=f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}")


def report_missing(name: str, how: str) -> None:
    print(f"{name}: not installed: {how}")


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """In the place for temporary files, TMPDIR; what it lies on is part of what is measured."""
    with tempfile.TemporaryDirectory(prefix="perdure-bench-") as name:
        yield Path(name)


@contextmanager
def background(command: Sequence[str], workdir: Path, env: Mapping[str, str] | None = None) -> Iterator[int]:
    """A process group of its own; told to end, and then made to, at the end of the block."""
    log = workdir / "output.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=workdir,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Daemon:
    """A `perdured` with a state directory and a socket of its own. It may be killed and started again."""

    def __init__(self, root: Path, config: str = "") -> None:
        self.state, self.socket = root / "state", root / "perdured.sock"
        self._config = root / "perdured.toml"
        self._config.write_text(config)
        self.env = {"PERDURE_SOCKET_PATH": str(self.socket), "PERDURE_STATE_DIR": str(self.state)}
        self.client = Client(self.socket)
        self.pid = 0
        self.log = root / "perdured.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [PYTHON, "-m", "perdured", "--config", str(self._config)]
            self._process = subprocess.Popen(command, env={**os.environ, **self.env}, stdout=log, stderr=log)
        self.pid = self._process.pid

    def wait_until_it_answers(self) -> None:
        wait_for(self._answers, f"perdured to answer; see {self.log}")

    def submit(self, workdir: Path, command: Sequence[str], extra: str = "") -> str:
        """The job's id, once it is durable."""
        workdir.mkdir(exist_ok=True)
        job = self.client.submit(format_spec(command, extra), workdir, dict(os.environ))
        return job["id"]

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends the daemon, and then each job by its proven identity; their keepers follow."""
        self.kill()
        for run in self._list_running():
            _kill(run.leader)
        wait_for(lambda: not any(self.state.glob("jobs/*/attempts/*/keeper.sock")), "the keepers to end")

    def list_keepers(self) -> list[int]:
        return [run.keeper.pid for run in self._list_running()]

    def _list_running(self) -> list[RunRecord]:
        directories = [path.parent for path in self.state.glob("jobs/*/attempts/*/run.json")]
        records = [load_run(path) for path in directories if not (path / "exit.json").exists()]
        return [run for run in records if run is not None]

    def _answers(self) -> bool:
        try:
            self.client.health()
        except NoDaemon:
            return False
        return True


def _kill(process: Identity) -> None:
    pidfd = open_process(process)
    if pidfd is not None:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)


@contextmanager
def private_daemon(config: str = "") -> Iterator[Daemon]:
    with scratch_directory() as root:
        daemon = Daemon(root, config)
        daemon.start()
        try:
            daemon.wait_until_it_answers()
            yield daemon
        finally:
            daemon.close()


# What the kernel knows of a process ------------------------------------------------------------------------------


def read_cpu_seconds(pid: int) -> float:
    """Time on a CPU so far, of all threads that live, to the nanosecond; /proc/PID/stat counts in ticks of 10 ms."""
    stats = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in stats) / 1e9


def read_memory(pid: int) -> tuple[float, float, float]:
    """Megabytes (10^6 bytes): resident; each page shared out among those who share it (PSS); private to it alone."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 / 1e6 for line in lines}
    return sizes["Rss"], sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"]


def list_children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def describe_machine() -> str:
    """One line for the head of a report."""
    cpu = next((x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")), ": unknown")
    system, python = os.uname(), sys.version.split()[0]
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} × {cpu.split(': ')[1]}, Linux {system.release}, Python {python}, load {load:.1f}"
