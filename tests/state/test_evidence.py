"""What is gathered of an end, from the attempt's directory and the kernel's log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perdured.clock import read_uptime
from perdured.core.observation import Absent, AttemptSeen, Ended, Held, Lost
from perdured.keeper.records import OUTPUT_LOG
from perdured.processes import KernelLog
from perdured.supervise.evidence import LONGEST_LINE, MOST_BYTES, MOST_KERNEL_LINES, add_evidence
from support.jobs import NOW, ended, killed, lost

XID = "NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python, GPU has fallen off the bus."


class Asked:
    """A kernel's log that says one thing many times, and notes for how long a time it was asked."""

    def __init__(self) -> None:
        self.ages: list[float] = []

    def read(self, age: float) -> tuple[str, ...]:
        self.ages.append(age)
        return (XID,) * 1000


def gather(seen: AttemptSeen, directory: Path, asked: Asked | None = None) -> Ended | Lost:
    found = add_evidence(seen, directory, NOW, (asked or Asked()).read)
    assert isinstance(found, Ended | Lost)
    return found


def test_the_last_lines_and_the_kernels_words_are_gathered(tmp_path: Path) -> None:
    (tmp_path / OUTPUT_LOG).write_bytes(b"step 1\n 10%|\r 20%|\nlast \xff word\n")
    asked = Asked()
    found = gather(killed(9), tmp_path, asked).evidence
    assert found.output == ("step 1", " 20%|", "last � word", "")
    assert found.kernel == (XID,) * MOST_KERNEL_LINES
    assert asked.ages == [50.0], "since the attempt was started, and no longer"


@pytest.mark.parametrize(
    ("seen", "last", "is_asked"),
    [
        (ended(0), "", False),
        (ended(1), "ValueError: bad label", False),
        (ended(1), "RuntimeError: CUDA error: an illegal memory access was encountered", True),
        (ended(1), "RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed.", True),
        (ended(137), "", True),
        (killed(6), "", True),
        (lost(), "", True),
    ],
)
def test_the_kernel_is_asked_what_it_may_know(seen: AttemptSeen, last: str, is_asked: bool, tmp_path: Path) -> None:
    """The restart waits for the answer."""
    (tmp_path / OUTPUT_LOG).write_text(last)
    asked = Asked()
    gather(seen, tmp_path, asked)
    assert bool(asked.ages) is is_asked


@pytest.mark.parametrize("seen", [Absent(), Held(), ended(1, is_clean=False), lost(is_clean=False)])
def test_what_has_not_ended_yet_is_left_as_it_is(seen: Absent | Held | Ended | Lost, tmp_path: Path) -> None:
    assert add_evidence(seen, tmp_path, NOW, Asked().read) == seen


@pytest.mark.parametrize("seen", [ended(1), killed(9), lost()])
def test_no_output_is_no_evidence_and_no_error(seen: Ended | Lost, tmp_path: Path) -> None:
    assert gather(seen, tmp_path).evidence.output == ()


@pytest.mark.parametrize("data", [b"x" * (3 << 20), b"y\n" * (1 << 20), b"\0" * (1 << 20)])
def test_a_flood_is_read_from_its_end_alone(data: bytes, tmp_path: Path) -> None:
    (tmp_path / OUTPUT_LOG).write_bytes(data + b"the end")
    output = gather(ended(1), tmp_path).evidence.output
    assert sum(map(len, output)) <= MOST_BYTES
    assert all(len(line) <= LONGEST_LINE for line in output)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a `journalctl` may be put."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    return tmp_path / "journalctl"


def test_where_the_log_may_not_be_read_the_journal_is_asked(journal: Path, tmp_path: Path) -> None:
    journal.write_text(f'#!/bin/sh\necho "EXT4-fs: all is well"\necho "{XID}"\n')
    journal.chmod(0o755)
    log = KernelLog(tmp_path / "nothing")
    assert log.read_telling_lines(10.0) == (XID,)


def test_a_journal_that_tells_us_nothing_is_not_asked_again(journal: Path, tmp_path: Path) -> None:
    journal.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\n")
    journal.chmod(0o755)
    log = KernelLog(tmp_path / "nothing")
    assert [log.read_telling_lines(10.0) for _ in range(3)] == [()] * 3
    assert (tmp_path / "asked").read_text().split() == ["asked", "asked"]


def test_the_log_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    """A file stands for the device; its records are those of the present moment."""
    log_file, now = tmp_path / "kmsg", int(read_uptime() * 1e6)
    os.mkfifo(log_file)
    log = KernelLog(log_file)
    with log_file.open("wb", buffering=0) as kernel:
        assert log.read_telling_lines(10.0) == ()
        for age in (60_000_000, 1_000_000):
            kernel.write(f"3,1,{now - age},-;{XID}\n".encode())
            assert len(log.read_telling_lines(10.0)) == (0 if age > 10_000_000 else 1)
        assert len(log.read_telling_lines(100.0)) == 2
    log.close()
