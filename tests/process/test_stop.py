"""Stopping: the leader first and alone, the whole tree at the deadline, and a deadline that nobody's death moves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perdured.core.observation import Held
from perdured.keeper import records
from perdured.keeper.loop import read_clock
from perdured.processes import observe_attempt, start_keeper
from support.processes import (
    Daemon,
    get_run,
    is_alive,
    make_script,
    read_output,
    run,
    wait_for_end,
    wait_for_output,
    wait_until,
)

SAVES = "signal.signal(15, lambda *_: (say('saving'), os._exit(75)))"
DEAF = "signal.signal(15, lambda *_: say('heard'))"


async def _begin(directory: Path, *lines: str, grace: float = 10.0, count: int = 1) -> Daemon:
    """A running attempt whose job has printed `count` lines, with a daemon connected."""
    await start_keeper(make_script(directory, *lines, grace=grace))
    await asyncio.to_thread(wait_for_output, directory, count)
    return await Daemon().connect(directory)


def _stop(directory: Path, *lines: str, grace: float, count: int = 1) -> None:
    async def stop() -> None:
        daemon = await _begin(directory, *lines, count=count)
        daemon.link.ask_stop("stop", grace)
        await daemon.until_gone()

    run(stop())


def test_a_stop_asks_the_leader_and_keeps_its_answer(directory: Path) -> None:
    _stop(directory, SAVES, "say('up')", "stay()", grace=10)
    exit = wait_for_end(directory)
    assert (exit.reason, exit.exit_code, exit.stop_reason) == ("exited", 75, "stop")
    assert read_output(directory) == ["up", "saving"]


def test_a_stop_is_on_disk_before_the_signal(directory: Path) -> None:
    """The job looks for stop.json when the signal reaches it."""
    stop = directory / records.STOP
    _stop(
        directory,
        f"signal.signal(15, lambda *_: os._exit(os.path.exists({str(stop)!r})))",
        "say('up')",
        "stay()",
        grace=10,
    )
    assert wait_for_end(directory).exit_code == 1
    record = records.load_stop(directory)
    assert record is not None
    assert (record.reason, record.signal, record.grace) == ("stop", signal.SIGTERM, 10)


def test_the_signal_reaches_the_leader_alone(directory: Path) -> None:
    """A data loader's worker must not die under the checkpoint, even in the leader's own process group."""
    lines = (
        "signal.signal(15, lambda *_: (say('signalled', os.getpid() == leader), os._exit(0)))",
        "leader = os.getpid()",
        "if os.fork() == 0: say('child'); stay()",
        "say('up'); stay()",
    )
    _stop(directory, *lines, grace=10, count=2)
    assert wait_for_end(directory).leftover == 1
    assert [line for line in read_output(directory) if line.startswith("signalled")] == ["signalled True"]


def test_a_stopped_leader_is_woken_to_hear_it(directory: Path) -> None:
    _stop(directory, SAVES, "say('up')", "os.kill(os.getpid(), signal.SIGSTOP)", "stay()", grace=10)
    assert wait_for_end(directory).exit_code == 75


def test_another_signal_can_be_chosen(directory: Path) -> None:
    async def stop() -> None:
        order = make_script(directory, "signal.signal(signal.SIGUSR2, lambda *_: os._exit(12))", "say('up')", "stay()")
        await start_keeper(order.__class__(**{**order.__dict__, "stop_signal": signal.SIGUSR2}))
        await asyncio.to_thread(wait_for_output, directory)
        daemon = await Daemon().connect(directory)
        daemon.link.ask_stop("stop", 10)
        await daemon.until_gone()

    run(stop())
    assert wait_for_end(directory).exit_code == 12


TREE = (
    DEAF,
    "def begin(act):",
    "    if os.fork() == 0: act(); say(os.getpid()); stay()",
    "def stop(): say(os.getpid()); os.kill(os.getpid(), signal.SIGSTOP)",
    "def escape():",
    "    os.setsid()",
    "    if os.fork(): os._exit(0)",
    "def nest():",
    "    for _ in range(5):",
    "        if os.fork(): say(os.getpid()); stay()",
    "for act in (lambda: None, os.setsid, escape, stop, nest): begin(act)",
    "say(os.getpid()); stay()",
)


@pytest.mark.parametrize("with_cgroup", [True, False])
def test_at_the_deadline_the_whole_tree_is_killed(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, with_cgroup: bool
) -> None:
    """A line of descent, other sessions, double forks and stopped processes; with a cgroup and without one."""
    if not with_cgroup:
        monkeypatch.setattr("perdured.keeper.cgroup.MOUNTS", ())
    _stop(directory, *TREE, grace=0.05, count=11)
    assert with_cgroup or get_run(directory).cgroup is None
    exit = wait_for_end(directory)
    assert (exit.reason, exit.signal, exit.stop_reason, exit.leftover) == ("timed_out", signal.SIGKILL, "stop", 10)
    lines = read_output(directory)
    assert "heard" in lines
    assert not any(is_alive(int(pid)) for pid in lines if pid != "heard")


def test_a_leader_that_ends_in_time_was_not_timed_out(directory: Path) -> None:
    _stop(directory, "signal.signal(15, lambda *_: os.kill(os.getpid(), 9))", "say('up')", "stay()", grace=10)
    exit = wait_for_end(directory)
    assert (exit.reason, exit.signal) == ("signaled", signal.SIGKILL)


def test_no_grace_kills_at_once(directory: Path) -> None:
    _stop(directory, DEAF, "say('up')", "stay()", grace=0)
    assert wait_for_end(directory).reason == "timed_out"


def test_a_second_stop_may_shorten_the_deadline(directory: Path) -> None:
    async def stop() -> None:
        daemon = await _begin(directory, DEAF, "say('up')", "stay()")
        daemon.link.ask_stop("stop", 1000)
        daemon.link.ask_stop("hurry", 0.05)
        await daemon.until_gone()

    run(stop())
    exit = wait_for_end(directory)
    assert (exit.reason, exit.stop_reason) == ("timed_out", "stop"), "the first reason stays"
    assert read_output(directory) == ["up", "heard"], "and the signal is sent once"


def test_a_second_stop_never_lengthens_the_deadline(directory: Path) -> None:
    async def stop() -> None:
        daemon = await _begin(directory, DEAF, "say('up')", "stay()")
        daemon.link.ask_stop("stop", 0.1)
        daemon.link.ask_stop("later", 1000)
        await daemon.until_gone()

    run(stop())
    assert wait_for_end(directory).reason == "timed_out"
    record = records.load_stop(directory)
    assert record is not None
    assert record.deadline < read_clock()


def test_sigterm_to_the_keeper_is_a_preemption(directory: Path) -> None:
    run(start_keeper(make_script(directory, SAVES, "say('up')", "stay()")))
    wait_for_output(directory)
    os.kill(get_run(directory).keeper.pid, signal.SIGTERM)
    exit = wait_for_end(directory)
    assert (exit.exit_code, exit.stop_reason) == (75, "preempted")


def test_a_preemption_has_the_grace_of_the_order(directory: Path) -> None:
    run(start_keeper(make_script(directory, DEAF, "say('up')", "stay()", grace=0.05)))
    wait_for_output(directory)
    os.kill(get_run(directory).keeper.pid, signal.SIGTERM)
    exit = wait_for_end(directory)
    assert (exit.reason, exit.stop_reason) == ("timed_out", "preempted")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGPIPE])
def test_other_signals_leave_the_keeper_alone(directory: Path, number: signal.Signals) -> None:
    async def send() -> None:
        daemon = await _begin(directory, "say('up')", "stay()")
        os.kill(get_run(directory).keeper.pid, number)
        daemon.link.ask_stop("stop", 10)  # answered only by a keeper that lives
        await daemon.until_gone()

    run(send())
    assert wait_for_end(directory).stop_reason == "stop"


DAEMON = """
import asyncio, os, signal, sys
from pathlib import Path
from support.processes import Daemon, make_script, wait_for_output
from perdured.processes import start_keeper
os.environ.setdefault("TEST_RUN_MARK", "")
async def main():
    directory = Path(sys.argv[1])
    await start_keeper(make_script(directory, *sys.argv[3:]))
    await asyncio.to_thread(wait_for_output, directory)
    daemon = await Daemon().connect(directory)
    daemon.link.ask_stop("stop", float(sys.argv[2]))
    await daemon.until(lambda: daemon.last.stop_reason)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def test_the_deadline_holds_though_the_daemon_dies(directory: Path) -> None:
    began = time.monotonic()
    path = os.pathsep.join(entry for entry in sys.path if entry)
    died = subprocess.run(
        [sys.executable, "-c", DAEMON, directory, "0.3", DEAF, "say('up')", "stay()"],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        timeout=20,
    )
    assert died.returncode == -signal.SIGKILL
    assert isinstance(observe_attempt(directory), Held)
    assert wait_for_end(directory).reason == "timed_out"
    assert time.monotonic() - began < 10


def test_a_stop_for_a_leader_that_is_dead_already_changes_nothing(directory: Path) -> None:
    """Asked in the window in which the keeper still waits for what the leader left behind."""

    async def stop() -> None:
        lines = ("signal.signal(10, lambda *_: os._exit(3))", "if os.fork() == 0: stay()", "say('up')", "stay()")
        daemon = await _begin(directory, *lines)
        os.kill(get_run(directory).leader.pid, signal.SIGUSR1)
        await daemon.until(lambda: daemon.last.exit)
        daemon.link.ask_stop("stop", 0)
        await daemon.until_gone()

    run(stop())
    exit = wait_for_end(directory)
    assert (exit.reason, exit.exit_code, exit.stop_reason) == ("exited", 3, None)
    assert records.load_stop(directory) is None


def test_a_keeper_that_has_nothing_to_do_waits_without_end(directory: Path) -> None:
    """No ticks: its only system call is epoll's, without a timeout, also after a timer has come and gone."""

    async def idle() -> None:
        daemon = await _begin(directory, "say('up')", "stay()")
        keeper = get_run(directory).keeper.pid
        await asyncio.to_thread(wait_until, lambda: _waits_without_end(keeper), "the keeper waits without end")
        daemon.link.close()

    run(idle())


def _waits_without_end(pid: int) -> bool:
    """By `/proc/PID/syscall`: number, then arguments; the fourth of epoll_wait and epoll_pwait is the timeout."""
    words = Path(f"/proc/{pid}/syscall").read_text().split()
    return words[0] in EPOLL_WAITS and int(words[4], 16) & 0xFFFFFFFF == 0xFFFFFFFF


EPOLL_WAITS = ("232", "281", "22")
"""epoll_wait and epoll_pwait of x86-64, epoll_pwait of arm64."""
