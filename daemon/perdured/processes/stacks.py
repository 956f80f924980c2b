"""What the processes of an attempt are doing: whether one is paused, where the main thread is, and, before a hang is
ended, the stacks of all.

Python's stacks come from py-spy where it is installed (`spy.py`), which reads them from outside and sees C frames,
too; else from the process itself, by the signal for which `perdure.stacks` has registered faulthandler. That signal
would end a process which does not catch it, so it goes only to one that does by the kernel's word (SigCgt) and that
carries the attempt's nonce. What a thread does in the kernel is in /proc, the whole of it for root.

Known limits. A process that is stuck in the kernel answers neither; its line in /proc does. Of a program in another
language there is only what /proc tells.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from perdured.clock import read_uptime
from perdured.contract import environment, messages
from perdured.core.stack_text import find_shape
from perdured.keeper import cgroup, records
from perdured.keeper.identity import ProcessSeen

from .belongings import list_processes
from .spy import CEILING, ask_spy

MOST_PROCESSES = 32
_MOST_THREADS = 16
_MOST_LOG = 1 << 20
"""Bytes of the file of stacks; beyond, it begins anew."""
_ANSWER_CEILING = 0.3


class Teller(NamedTuple):
    """A process that writes its stacks into the attempt's directory on this signal."""

    pid: int
    signal: int


def observe_tree(root: int) -> dict[int, ProcessSeen]:
    """The living processes that descend from `root`, itself first."""
    seen = dict(list_processes())
    chosen = [root] if root in seen else []
    for pid in chosen:
        chosen += [child for child, process in seen.items() if process.parent == pid]
    return {pid: seen[pid] for pid in chosen}


def is_paused(leader: int) -> bool:
    """Some process of it was stopped, is being traced, or is frozen."""
    tree = observe_tree(leader)
    return any(process.state in "Tt" for process in tree.values()) or cgroup.is_frozen(leader)


def sample_shape(directory: Path, teller: Teller) -> str | None:
    """Where its main thread is, so that two of them can be compared; None where it does not say. Blocks for up to 0.3
    seconds."""
    text = _ask(directory, teller.pid, teller.signal)
    return find_shape(text) if text else None


def dump_stacks(directory: Path, title: str, teller: Teller | None) -> None:
    """Appends the stacks of all processes of the attempt to its output. Blocks; raises OSError."""
    run = records.load_run(directory)
    if run is None:
        return
    is_unit, until = records.load_want(directory).unit is not None, read_uptime() + 3 * CEILING
    with (directory / records.OUTPUT_LOG).open("ab") as output:
        output.write(f"\nperdure: {title}\n".encode())
        for pid, process in list(observe_tree(run.leader.pid).items())[:MOST_PROCESSES]:
            spied = ask_spy(pid, by_unit=is_unit, until=until)
            python = spied or (_ask(directory, pid, teller.signal) if teller is not None else "")
            lines = [_describe(pid, process), *_indent(python), *_kernel_stacks(pid)]
            output.write("".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
            output.flush()


def _describe(pid: int, process: ProcessSeen) -> str:
    command = _read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()[:200] or _read(f"/proc/{pid}/comm").strip()
    stuck = ", in uninterruptible sleep: not even SIGKILL ends it before it wakes" if process.state == "D" else ""
    return f"process {pid} (state {process.state}{stuck}): {command}"


def _indent(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines() if line.strip()]


def _kernel_stacks(pid: int) -> Iterator[str]:
    """Each thread's name, what it waits for in the kernel, and, for root, how it came there."""
    for thread in sorted(_list_threads(pid))[:_MOST_THREADS]:
        place = f"/proc/{pid}/task/{thread}"
        name, waits_in = _read(f"{place}/comm").strip(), _read(f"{place}/wchan").strip()
        frames = [line.split("] ", 1)[-1] for line in _read(f"{place}/stack").splitlines()[:6]]
        via = f" ({' < '.join(frames)})" if frames else ""
        yield f"  thread {thread} {name}: {f'waits in {waits_in}' if waits_in not in ('', '0') else 'runs'}{via}"


def _list_threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


# By itself ------------------------------------------------------------------------------------------------------------


def _ask(directory: Path, pid: int, number: int) -> str:
    """What it wrote; empty where it may not be asked, or does not answer."""
    log = directory / messages.STACKS_LOG
    try:
        if log.stat().st_size > _MOST_LOG:
            os.truncate(log, 0)
        before = log.stat().st_size
        if not _signal(directory, pid, number):
            return ""
        return _read_answer(log, before)
    except (OSError, ValueError):
        return ""


def _signal(directory: Path, pid: int, number: int) -> bool:
    pidfd = os.pidfd_open(pid)
    try:
        mark = f"{environment.ATTEMPT_NONCE}={records.load_want(directory).nonce}"
        if mark not in _read(f"/proc/{pid}/environ").split("\0") or not _catches(pid, number):
            return False
        signal.pidfd_send_signal(pidfd, number)
        return True
    finally:
        os.close(pidfd)


def _catches(pid: int, number: int) -> bool:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def _read_answer(log: Path, before: int) -> str:
    """Until it does not grow any more: the handler writes line by line."""
    until, size = read_uptime() + _ANSWER_CEILING, before
    while read_uptime() < until:
        time.sleep(0.01)
        grown = log.stat().st_size
        if grown == size > before:
            break
        size = grown
    with log.open("rb") as file:
        file.seek(before)
        return file.read(_MOST_LOG).decode("utf-8", "replace")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
