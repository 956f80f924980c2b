"""What not even SIGKILL ends is named, waited for, and never doubled. The sleep is a real one: of a write to a file
system that is frozen."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.processes import StillHeld, find_stuck, perform_clean, start_keeper
from perdured.processes.stuck import is_stuck
from support.disks import CAN_FREEZE, LoopDisk, NoDisk, count_cpu, frozen, loop_disk, sleeps_in_the_kernel
from support.processes import get_run, make_script, run, wait_for_end, wait_for_output, wait_until

KILLED, ASLEEP = "State:\tD (disk sleep)\nSigPnd:\t0000000000000100\n", "State:\tD (disk sleep)\nSigPnd:\t0\n"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (KILLED, True),
        (KILLED.replace("SigPnd:\t", "SigPnd:\t0\nShdPnd:\t"), True),
        (ASLEEP, False),
        (KILLED.replace("State:\tD (disk sleep)", "State:\tS (sleeping)"), False),
        (KILLED.replace("0100", "4000"), False),
        ("", False),
    ],
)
def test_stuck_is_what_was_killed_and_sleeps_on(status: str, expected: bool) -> None:
    """Whoever waits for a disk for a moment is not."""
    assert is_stuck(status) == expected


def test_nothing_is_stuck_here() -> None:
    assert find_stuck(os.getpid()) is None


# For real -------------------------------------------------------------------------------------------------------------

WRITE = "def write(): signal.sigwait([signal.SIGUSR1]); os.write(fd, b'x')"
"""To a file that is open, when it is told."""
LEADER = ("say(os.getpid()); write()",)
CHILD = ("child = os.fork()", "if child == 0: write(); os._exit(0)", "say(child); stay()")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    try:
        with loop_disk("ext4", tmp_path) as disk:
            yield disk
    except NoDisk as why:
        pytest.skip(str(why))


@pytest.mark.root
@pytest.mark.skipif(not CAN_FREEZE, reason="needs root and fsfreeze")
@pytest.mark.parametrize("lines", [LEADER, CHILD], ids=["leader", "child"])
def test_what_sleeps_in_the_kernel_is_named_and_waited_for_without_spinning(
    lines: tuple[str, ...], directory: Path, disk: LoopDisk
) -> None:
    opened = f"fd = os.open({str(disk.mount / 'file')!r}, os.O_WRONLY | os.O_CREAT)"
    blocked = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])"
    run(start_keeper(make_script(directory, opened, blocked, WRITE, *lines, grace=0.2)))
    writer, keeper = int(wait_for_output(directory)[0]), get_run(directory).keeper.pid
    with frozen(disk.mount):
        os.kill(writer, signal.SIGUSR1)
        wait_until(lambda: sleeps_in_the_kernel(writer), "the write")
        assert find_stuck(keeper) is None, "nobody has killed it"
        os.kill(keeper, signal.SIGTERM)
        wait_until(lambda: find_stuck(keeper), "it to be killed")
        assert f"process {writer} (" in (find_stuck(keeper) or "")
        used, since = count_cpu(keeper), time.monotonic()
        wait_until(lambda: time.monotonic() > since + 1.0, "a second")
        assert count_cpu(keeper) - used < 0.1
        with pytest.raises(StillHeld):
            perform_clean(directory)
    assert wait_for_end(directory).signal == signal.SIGTERM, "of which it died when it woke"
