"""Real file systems on a loop device, with a power switch. Needs root."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SHUTDOWN = 0x8004587D  # the ioctl of ext4 and xfs, EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN
_WITHOUT_LOG_FLUSH = 2
_MIB = {"ext4": 64, "xfs": 320}
_OPTIONS = {"ext4": "loop", "xfs": "loop,nouuid"}


CAN_FREEZE = os.geteuid() == 0 and shutil.which("fsfreeze") is not None


class NoDisk(Exception):
    """Why this machine cannot make one."""


@dataclass(frozen=True)
class LoopDisk:
    kind: str
    image: Path
    mount: Path

    def switch_on(self) -> None:
        _run("mount", "-o", _OPTIONS[self.kind], str(self.image), str(self.mount))

    def cut_power(self) -> None:
        """Nothing that is not on the disk by now gets there; then start again, with the journal's replay."""
        descriptor = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG_FLUSH))
        finally:
            os.close(descriptor)
        self.switch_off()
        self._replace_by_copy()
        self.switch_on()

    def _replace_by_copy(self) -> None:
        """A mount namespace that another test made meanwhile may hold the mount still; for the same image, the kernel
        would then give back the file system that was shut down."""
        copy = self.image.with_suffix(".copy")
        _run("cp", "--sparse=always", str(self.image), str(copy))
        copy.replace(self.image)

    def switch_off(self) -> None:
        _run("umount", str(self.mount))


@contextlib.contextmanager
def loop_disk(kind: str, scratch: Path) -> Iterator[LoopDisk]:
    """A new, empty, mounted file system. Raises NoDisk where there is no such thing."""
    make = shutil.which(f"mkfs.{kind}")
    if make is None:
        raise NoDisk(f"mkfs.{kind} is not here")
    disk = LoopDisk(kind, scratch / f"{kind}.img", scratch / kind)
    disk.mount.mkdir()
    with disk.image.open("wb") as image:
        image.truncate(_MIB[kind] << 20)
    _run(make, "-q", str(disk.image))
    disk.switch_on()
    try:
        yield disk
    finally:
        disk.switch_off()


@contextlib.contextmanager
def frozen(mount: Path) -> Iterator[None]:
    """Whoever writes to it sleeps in the kernel until it is thawed, whatever is sent to it."""
    _run("fsfreeze", "--freeze", str(mount))
    try:
        yield
    finally:
        _run("fsfreeze", "--unfreeze", str(mount))


def sleeps_in_the_kernel(pid: int) -> bool:
    return "State:\tD" in Path(f"/proc/{pid}/status").read_text()


def count_cpu(pid: int) -> float:
    """Seconds that it has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def small_tmpfs(mount: Path, size: str) -> Iterator[None]:
    mount.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mount))
    try:
        yield
    finally:
        _run("umount", str(mount))


def remount(mount: Path, options: str) -> None:
    _run("mount", "-o", f"remount,{options}", str(mount))


def bind_mount(source: Path, target: Path) -> None:
    _run("mount", "--bind", str(source), str(target))


def unmount(mount: Path) -> None:
    _run("umount", str(mount))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        raise NoDisk(f"{' '.join(command)}: {done.stderr.strip()}")
