"""What the machine itself has: memory, clock, cgroups, a Python, a daemon."""

from __future__ import annotations

from typing import NamedTuple

from perdured.core.units import human_size

from .finding import Finding

_LEAST_SHARED = 1 << 30
"""Bytes of shared memory. A container engine's usual 64 MiB are full after a few batches of images."""
MEMORY_SHARE = 0.8
"""Of what is available, that a memory tier takes at most."""
_SWAPPED = 0.05
"""Of the memory: below that what is swapped is what nobody uses."""


class Memory(NamedTuple):
    """Bytes."""

    total: int
    available: int
    """That can be taken without pushing anything out, limits of the container included."""
    swap_total: int = 0
    swap_used: int = 0


def parse_meminfo(text: str) -> Memory:
    """/proc/meminfo; KeyError where it lacks a line."""
    lines = (line.split() for line in text.splitlines())
    kib = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
    swap = kib.get("SwapTotal", 0)
    used = swap - kib.get("SwapFree", 0)
    return Memory(kib["MemTotal"] << 10, kib["MemAvailable"] << 10, swap << 10, used << 10)


def judge_memory_tier(job: str, size: int, memory: Memory) -> Finding:
    """Of a job that is not running: one that runs has taken its memory, or has told that it cannot."""
    needed, room = 2 * size, int(memory.available * MEMORY_SHARE)
    if needed <= room:
        what = f"The state of {job} fits twice: {human_size(needed)} of {human_size(room)}."
        return Finding("machine", "memory tier", "ok", what)
    what = f"{job} will have no memory tier: it takes {human_size(needed)}, and {human_size(room)} may be taken."
    why = "Without one a crash goes back to the last checkpoint on the disk, and each save holds up training."
    return Finding("machine", "memory tier", "warning", what, why, "Give it more memory, or end what else runs here.")


def judge_shared_memory(size: int | None) -> Finding:
    """`size` of /dev/shm; None where there is none."""
    todo = "Docker: --shm-size=8g. Kubernetes: an emptyDir of medium Memory at /dev/shm."
    why = "The workers of a DataLoader hand their batches through it, and die of a bus error when it is full."
    if size is None:
        return Finding("machine", "shared memory", "warning", "There is no /dev/shm.", why, todo)
    if size < _LEAST_SHARED:
        what = f"{human_size(size)} in /dev/shm."
        return Finding("machine", "shared memory", "warning", what, why, todo)
    return Finding("machine", "shared memory", "ok", f"{human_size(size)} in /dev/shm.")


def judge_swap(memory: Memory) -> Finding:
    if not memory.swap_total:
        return Finding("machine", "swap", "ok", "There is none.")
    used = human_size(memory.swap_used)
    if memory.swap_used > _SWAPPED * memory.total:
        why = "What was swapped out, be it a memory tier, is read back first: steps and saves take longer."
        todo = "Run less beside it, or: swapoff -a"
        return Finding("machine", "swap", "warning", f"{used} are swapped out.", why, todo)
    return Finding("machine", "swap", "ok", f"{used} of {human_size(memory.swap_total)} are used.")


def judge_clock(*, is_synchronised: bool | None) -> Finding:
    """None: the kernel does not say."""
    if is_synchronised:
        return Finding("machine", "clock", "ok", "It is kept in step with others.")
    what = "Nobody says if it is right." if is_synchronised is None else "Nobody keeps it in step with others."
    why = "A notice names a time of the day: with a clock that is wrong by 20 s a save ends 20 s too late."
    return Finding("machine", "clock", "warning", what, why, "Run chrony or systemd-timesyncd on the machine.")


def judge_cgroup(*, has_leaf: bool) -> Finding:
    if has_leaf:
        return Finding("machine", "cgroup", "ok", "Each attempt can have one, so that nothing of it is left behind.")
    why = "There is no cgroup v2 here, or no right to make one below our own."
    todo = "Run perdured as a systemd service with Delegate=yes, as the units in systemd/ have it."
    what = "Attempts get none: a process that hides from its parents can outlive its attempt unseen."
    return Finding("machine", "cgroup", "warning", what, why, todo)


def judge_python(python: str | None, *, has_torch: bool) -> Finding:
    """`python` is that of the job; None: there is none by that name."""
    if python is None:
        why = "Neither the command nor PATH leads to one."
        return Finding("machine", "python", "problem", "No Python was found.", why, "Activate the job's environment.")
    if not has_torch:
        why = "It cannot be imported there. A job that needs none is fine."
        todo = "Name the Python of the environment with torch in the spec's `command`."
        return Finding("machine", "python", "warning", f"{python} has no torch.", why, todo)
    return Finding("machine", "python", "ok", f"{python} has torch.")


def judge_daemon(socket: str, answers: str | None, *, is_needed: bool) -> Finding:
    """`answers` is the version that answered."""
    if answers is not None:
        return Finding("machine", "daemon", "ok", f"perdured {answers} answers on {socket}.")
    if not is_needed:
        return Finding("machine", "daemon", "ok", "None runs; `perdure run` needs none.")
    why = "`perdure run` needs none. Jobs that were submitted to one run on, but are not started again."
    return Finding("machine", "daemon", "warning", f"Nobody answers on {socket}.", why, "Start one: perdured")
