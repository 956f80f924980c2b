"""A stand-in for `os` in the modules of the checkpoint format: records every call, and makes the n-th one fail.

The shim is put in place of the module's `os`, so the code under test is the real one, and all that it does not change
still happens on a real file system. Calls are numbered from 1, reads included.

*The n-th call, where threads make their order free.* A call's `Place` says which one it is: what it does, to which
file, at which offset, and the how manyth of these it is. A run without a fault gives the list of places, the same set
each time; the fault is then set to a place, whenever its thread gets there. Calls of one place but for their count are
alike (the question for a file's flags), so it does not matter which thread has which. "For ever" is from then on.

A simulated kill raises `Killed` at the n-th call and at each one after it, so that no clean-up can act, and closes
what was open, as the kernel would: locks are let go. A real kill is SIGKILL to the own process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast

from perdured.contract import durable
from perdured.contract.checkpoint import copier
from perdured.contract.checkpoint.gather import BLOCK

T = TypeVar("T")
Way = Literal[
    "refuse", "lose the answer", "kill before", "kill after", "kill half way", "short", "nothing", "really kill"
]

READS = frozenset({"open", "listdir", "scandir", "stat", "lstat", "fstat", "read", "preadv", "close"})
PACKAGE = "perdured.contract.checkpoint"


class Killed(BaseException):
    """The process is dead; nothing of it runs any more."""


@dataclass(frozen=True)
class Call:
    """One system call that changes or reads the disk. `fsync` of a directory is "fsyncdir"; a creation is "create"."""

    name: str
    path: str
    other: str = ""
    data: bytes = field(default=b"", repr=False)
    offset: int = 0
    """Of a `pwrite`; of a `truncate`, the length."""


class Place(NamedTuple):
    """Which call it is, whatever the order in which threads make theirs."""

    name: str
    path: str
    offset: int
    nth: int


@dataclass(frozen=True)
class Fault:
    """What happens at call `at` (0: at none), or at `place`; with `forever` also at all calls after it.

    "refuse": the error, and nothing was done. "lose the answer": it was done, and the error all the same. "short":
    a write takes half. "nothing": a write takes no byte, and says no word.
    """

    at: int
    way: Way = "refuse"
    error: int = errno.EIO
    forever: bool = False
    place: Place | None = None


class Kernel:
    """`calls`: all that were tried. `done`: those that succeeded, in order. `has_struck`: the fault came about.

    `really_syncs=False` saves time. With `has_direct` the disk knows O_DIRECT, and is as strict as the strictest: whole
    blocks or EINVAL.
    """

    def __init__(
        self,
        fault: Fault | None = None,
        *,
        really_syncs: bool = False,
        has_noreplace: bool = True,
        has_direct: bool = True,
    ) -> None:
        self.calls: list[Call] = []
        self.done: list[Call] = []
        self.places: list[Place] = []
        self.is_dead = False
        self.has_struck = False
        self.at_strike: Callable[[], None] = _kill_myself
        """What a fault of "really kill" does, before the call; if it comes back, the call is made."""
        self._fault = fault
        self._really_syncs = really_syncs
        self._has_noreplace = has_noreplace
        self._has_direct = has_direct
        self._open: dict[int, str] = {}
        self._direct: set[int] = set()
        self._tokens = 0
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._turn = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @property
    def opened(self) -> list[str]:
        """What is still open, of a process that lives."""
        return [] if self.is_dead else list(self._open.values())

    # Changing ------------------------------------------------------------------------------------------------

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        full = self._full(path, dir_fd)
        call = Call("create" if flags & os.O_CREAT else "open", full)
        descriptor = self._make(call, lambda: os.open(path, flags, mode, dir_fd=dir_fd))
        self._open[descriptor] = full
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        return self._write(Call("write", self._open[descriptor]), data, lambda view: os.write(descriptor, view))

    def pwrite(self, descriptor: int, data: memoryview, offset: int) -> int:
        with self._turn:
            call = Call("pwrite", self._open.get(descriptor, ""), offset=offset)
            if descriptor in self._direct and (offset % BLOCK or len(data) % BLOCK):
                return self._make(call, _refuse_as_unaligned)
            return self._write(call, data, lambda view: os.pwrite(descriptor, view, offset))

    def _write(self, call: Call, data: memoryview, perform: Callable[[memoryview], int]) -> int:
        view = memoryview(data)
        part = view[: max(len(view) // 2, 1)]
        whole, half = (replace(call, data=bytes(each)) for each in (view, part))
        return self._make(whole, lambda: perform(view), half, lambda: perform(part))

    def ftruncate(self, descriptor: int, length: int) -> None:
        call = Call("truncate", self._open.get(descriptor, ""), offset=length)
        self._make(call, lambda: os.ftruncate(descriptor, length))

    def fcntl(self, descriptor: int, command: int, argument: int = 0) -> int:
        """Only the flags of an open file, and of them O_DIRECT is ours, so that every file system is a strict one."""
        path = self._open.get(descriptor, "")
        if command == fcntl.F_GETFL:
            return self._make(Call("getfl", path), lambda: self._get_flags(descriptor))
        assert command == fcntl.F_SETFL
        return self._make(Call("setfl", path), lambda: self._set_flags(descriptor, argument))

    def _get_flags(self, descriptor: int) -> int:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        return flags | os.O_DIRECT if descriptor in self._direct else flags

    def _set_flags(self, descriptor: int, flags: int) -> int:
        if flags & os.O_DIRECT and not self._has_direct:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if self._really_syncs:
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
        (self._direct.add if flags & os.O_DIRECT else self._direct.discard)(descriptor)
        return 0

    def fsync(self, descriptor: int) -> None:
        path = self._open.get(descriptor, "")
        call = Call("fsyncdir" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "fsync", path)
        self._make(call, lambda: os.fsync(descriptor) if self._really_syncs else None)

    def close(self, descriptor: int) -> None:
        """An error of close leaves nothing open: Linux closes first and reports then."""
        if self.is_dead:
            raise Killed
        path = self._open.pop(descriptor, "")
        self._direct.discard(descriptor)
        os.close(descriptor)
        self._make(Call("close", path), lambda: None)

    def mkdir(self, path: Any, mode: int = 0o777) -> None:
        self._make(Call("mkdir", self._full(path)), lambda: os.mkdir(path, mode))

    def rename(self, source: Any, target: Any) -> None:
        call = Call("rename", self._full(source), self._full(target))
        self._make(call, lambda: os.rename(source, target))

    def link(self, source: Any, target: Any, *, follow_symlinks: bool = True) -> None:
        call = Call("link", self._full(source), self._full(target))
        self._make(call, lambda: os.link(source, target, follow_symlinks=follow_symlinks))

    def renameat2(self, source: Path, target: Path) -> None:
        if not self._has_noreplace:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._make(Call("rename", self._full(source), self._full(target)), lambda: _renameat2(source, target))

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._make(Call("unlink", self._full(path, dir_fd)), lambda: os.unlink(path, dir_fd=dir_fd))

    def rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self._make(Call("rmdir", self._full(path, dir_fd)), lambda: os.rmdir(path, dir_fd=dir_fd))

    # Reading -------------------------------------------------------------------------------------------------

    def listdir(self, path: Any) -> list[str]:
        return self._make(Call("listdir", self._full(path)), lambda: os.listdir(path))

    def scandir(self, path: Any) -> Any:
        return self._make(Call("scandir", self._full(path)), lambda: os.scandir(path))

    def stat(self, path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        call = Call("stat", self._full(path, dir_fd))
        return self._make(call, lambda: os.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks))

    def lstat(self, path: Any) -> os.stat_result:
        return self._make(Call("lstat", self._full(path)), lambda: os.lstat(path))

    def fstat(self, descriptor: int) -> os.stat_result:
        return self._make(Call("fstat", self._full(descriptor)), lambda: os.fstat(descriptor))

    def read(self, descriptor: int, count: int) -> bytes:
        return self._make(Call("read", self._full(descriptor)), lambda: os.read(descriptor, count))

    def preadv(self, descriptor: int, buffers: list[memoryview], offset: int) -> int:
        return self._make(Call("preadv", self._full(descriptor)), lambda: os.preadv(descriptor, buffers, offset))

    def urandom(self, count: int) -> bytes:
        """The same in each run, so that equal runs leave equal names."""
        self._tokens += 1
        return self._tokens.to_bytes(count, "big")

    # How -----------------------------------------------------------------------------------------------------

    def _full(self, path: Any, dir_fd: int | None = None) -> str:
        if isinstance(path, int):
            return self._open.get(path, "")
        above = "" if dir_fd is None else self._open.get(dir_fd, "")
        return os.path.join(above, os.fspath(path))

    def _find_way(self, call: Call) -> Way | None:
        """What happens to this call, which is counted now."""
        key = (call.name, call.path, call.offset)
        fault = self._fault
        with self._turn:
            if self.is_dead:
                raise Killed
            self._counts[key] += 1
            place = Place(*key, self._counts[key])
            self.calls.append(call)
            self.places.append(place)
            if fault is None:
                return None
            is_it = len(self.calls) == fault.at or place == fault.place
            is_hit = is_it or (fault.forever and self.has_struck)
            self.has_struck = self.has_struck or is_it
            return fault.way if is_hit else None

    def _make(
        self,
        call: Call,
        perform: Callable[[], T],
        half_call: Call | None = None,
        perform_half: Callable[[], T] | None = None,
    ) -> T:
        way = self._find_way(call)
        if way == "really kill":
            self.at_strike()
        with self._turn:
            if self.is_dead:
                raise Killed
            if way == "refuse":
                raise self._error(call)
            if way == "kill before":
                self._die()
            if half_call is not None and perform_half is not None:
                if way == "nothing":
                    return cast(T, 0)
                if way in ("kill half way", "short"):
                    call, perform = half_call, perform_half
            result = perform()
            self.done.append(call)
            if way in ("kill after", "kill half way"):
                _discard(call, result)
                self._die()
            if way == "lose the answer":
                _discard(call, result)
                raise self._error(call)
            return result

    def _error(self, call: Call) -> OSError:
        assert self._fault is not None
        return OSError(self._fault.error, os.strerror(self._fault.error), call.path)

    def _die(self) -> None:
        self.is_dead = True
        for descriptor in self._open:
            os.close(descriptor)
        raise Killed


class FullDisk(Kernel):
    """There is no room for a new file, such as the reason of a quarantine; names can still change."""

    def write(self, descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "no space left")


def _kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _refuse_as_unaligned() -> int:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def _discard(call: Call, result: object) -> None:
    """Close what was opened for nobody."""
    if call.name in ("open", "create"):
        assert isinstance(result, int)
        os.close(result)
    if call.name == "scandir":
        result.close()  # type: ignore[attr-defined]


_renameat2 = durable.renameat2


class _Fcntl:
    """The module `fcntl`, whose one function that concerns files is the kernel's."""

    def __init__(self, kernel: Kernel) -> None:
        self.fcntl = kernel.fcntl

    def __getattr__(self, name: str) -> Any:
        return getattr(fcntl, name)


@contextlib.contextmanager
def installed(kernel: Kernel) -> Iterator[Kernel]:
    """The checkpoint format's modules see `kernel` as their `os`; all but the arena, whose file is memory."""
    modules = [module for name, module in sys.modules.items() if name.startswith(PACKAGE) and hasattr(module, "os")]
    modules = [module for module in (*modules, durable) if module.__name__ != f"{PACKAGE}.arena"]
    try:
        for module in modules:
            vars(module)["os"] = kernel
        vars(copier)["fcntl"] = _Fcntl(kernel)
        durable.renameat2 = kernel.renameat2
        yield kernel
    finally:
        for module in modules:
            vars(module)["os"] = os
        vars(copier)["fcntl"] = fcntl
        durable.renameat2 = _renameat2
