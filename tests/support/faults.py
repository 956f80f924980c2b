"""A stand-in for `os` in the modules of the checkpoint format: records every call, and makes the n-th one fail.

The shim is put in place of the module's `os`, so the code under test is the real one, and all that it does not change
still happens on a real file system. Calls are numbered from 1, reads included.

A simulated kill raises `Killed` at the n-th call and at each one after it, so that no clean-up can act, and closes
what was open, as the kernel would: locks are let go. A real kill is SIGKILL to the own process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import perdured.contract.checkpoint  # noqa: F401  loads the modules that are shimmed
from perdured.contract import durable

T = TypeVar("T")
Way = Literal["refuse", "lose the answer", "kill before", "kill after", "kill half way", "short", "really kill"]

READS = frozenset({"open", "listdir", "scandir", "stat", "lstat", "fstat", "read", "readv", "close"})
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


@dataclass(frozen=True)
class Fault:
    """What happens at call `at`, and with `forever` at all calls after it.

    "refuse": the error, and nothing was done. "lose the answer": it was done, and the error all the same. "short":
    a write takes half.
    """

    at: int
    way: Way = "refuse"
    error: int = errno.EIO
    forever: bool = False

    def hits(self, number: int) -> bool:
        return number == self.at or (self.forever and number > self.at)


class Kernel:
    """`calls`: all that were tried. `done`: those that succeeded, in order. `really_syncs=False` saves time."""

    def __init__(self, fault: Fault | None = None, *, really_syncs: bool = False, has_noreplace: bool = True) -> None:
        self.calls: list[Call] = []
        self.done: list[Call] = []
        self.is_dead = False
        self._fault = fault
        self._really_syncs = really_syncs
        self._has_noreplace = has_noreplace
        self._open: dict[int, str] = {}
        self._tokens = 0

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
        taken = memoryview(data)
        if self._hits_next("short") and len(taken) > 1:
            taken = taken[: len(taken) // 2]
        call = Call("write", self._open[descriptor], data=bytes(taken))
        half = Call("write", call.path, data=call.data[: len(call.data) // 2])
        return self._make(call, lambda: os.write(descriptor, taken), half, lambda: os.write(descriptor, half.data))

    def fsync(self, descriptor: int) -> None:
        path = self._open[descriptor]
        call = Call("fsyncdir" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "fsync", path)
        self._make(call, lambda: os.fsync(descriptor) if self._really_syncs else None)

    def close(self, descriptor: int) -> None:
        """An error of close leaves nothing open: Linux closes first and reports then."""
        if self.is_dead:
            raise Killed
        path = self._open.pop(descriptor, "")
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

    def readv(self, descriptor: int, buffers: list[memoryview]) -> int:
        return self._make(Call("readv", self._full(descriptor)), lambda: os.readv(descriptor, buffers))

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

    def _hits_next(self, way: Way) -> bool:
        fault = self._fault
        return fault is not None and fault.way == way and fault.hits(len(self.calls) + 1)

    def _make(
        self,
        call: Call,
        perform: Callable[[], T],
        half_call: Call | None = None,
        perform_half: Callable[[], T] | None = None,
    ) -> T:
        if self.is_dead:
            raise Killed
        self.calls.append(call)
        way = self._fault.way if self._fault is not None and self._fault.hits(len(self.calls)) else None
        if way == "really kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if way == "refuse":
            raise self._error(call)
        if way == "kill before":
            self._die()
        if way == "kill half way" and half_call is not None and perform_half is not None:
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


def _discard(call: Call, result: object) -> None:
    """Close what was opened for nobody."""
    if call.name in ("open", "create"):
        assert isinstance(result, int)
        os.close(result)
    if call.name == "scandir":
        result.close()  # type: ignore[attr-defined]


_renameat2 = durable.renameat2


@contextlib.contextmanager
def installed(kernel: Kernel) -> Iterator[Kernel]:
    """The checkpoint format's modules see `kernel` as their `os`."""
    modules = [module for name, module in sys.modules.items() if name.startswith(PACKAGE) and hasattr(module, "os")]
    modules.append(durable)
    try:
        for module in modules:
            vars(module)["os"] = kernel
        durable.renameat2 = kernel.renameat2
        yield kernel
    finally:
        for module in modules:
            vars(module)["os"] = os
        durable.renameat2 = _renameat2
