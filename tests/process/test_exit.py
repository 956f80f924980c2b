"""How an attempt ends, and that its end is never lost."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from pathlib import Path

import pytest

from perdured.core.observation import Held
from perdured.keeper import records
from perdured.keeper.identity import observe_process
from perdured.keeper.lock import is_locked
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


@pytest.mark.parametrize("code", [0, 1, 75, 78, 255])
def test_an_exit_code_is_kept_as_it_is_with_nobody_connected(directory: Path, code: int) -> None:
    run(start_keeper(make_script(directory, f"os._exit({code})")))
    exit = wait_for_end(directory)
    assert (exit.reason, exit.exit_code, exit.signal, exit.stop_reason) == ("exited", code, None, None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGINT])
def test_a_death_by_signal_is_kept_as_it_is(directory: Path, number: signal.Signals) -> None:
    # SIGINT is caught by Python.
    prepare = f"signal.signal({number}, signal.SIG_DFL)" if number == signal.SIGINT else ""
    run(start_keeper(make_script(directory, prepare, f"os.kill(os.getpid(), {number})")))
    exit = wait_for_end(directory)
    assert (exit.reason, exit.exit_code, exit.signal) == ("signaled", None, number)


def test_the_record_of_an_end_has_times_status_and_usage(directory: Path) -> None:
    run(start_keeper(make_script(directory, "sum(range(10**6))", "os._exit(7)")))
    wait_for_end(directory)
    record = records.load_exit(directory)
    assert record is not None
    assert record.raw_status is not None
    assert os.waitstatus_to_exitcode(record.raw_status) == 7
    assert record.usage is not None
    assert record.usage.user_seconds > 0
    assert record.usage.max_rss_kib > 1000
    assert get_run(directory).started_at <= record.at
    assert record.error is None


def test_a_leader_that_ends_at_once_is_not_missed(directory: Path) -> None:
    """The pidfd is level-triggered: an end before the keeper waits is seen when it does."""
    run(start_keeper(make_script(directory, "os._exit(3)")))
    assert wait_for_end(directory).exit_code == 3


def test_nothing_stays_of_an_attempt_but_its_directory(directory: Path) -> None:
    run(start_keeper(make_script(directory, "os._exit(0)")))
    wait_for_end(directory)
    assert not (directory / records.SOCKET).exists()
    leaf = get_run(directory).cgroup
    assert leaf is None or not Path(leaf).exists()
    keeper = get_run(directory).keeper.pid
    wait_until(lambda: not is_alive(keeper))


def test_orphans_of_the_job_are_collected_while_it_runs(directory: Path) -> None:
    """A daemon that the job has double-forked dies as a child of the keeper; no zombie is left of it."""
    order = make_script(
        directory,
        "read, write = os.pipe()",
        "if os.fork() == 0:",
        "    if os.fork() == 0: say(os.getpid()); os.read(read, 1); os._exit(0)",
        "    os._exit(0)",
        "os.wait()",
        "say('orphaned'); stay_until = sys.stdin.read(); os.write(write, b'x'); stay()",
    )
    run(start_keeper(order))
    lines = wait_for_output(directory, 2)
    orphan = int(next(line for line in lines if line != "orphaned"))
    wait_until(lambda: observe_process(orphan) is None, "the orphan is collected")
    assert isinstance(observe_attempt(directory), Held)


def test_what_outlives_the_leader_is_killed_and_counted(directory: Path) -> None:
    """A child, one in its own session, a double fork, and a stopped one: none gets away."""
    order = make_script(
        directory,
        "def begin(act):",
        "    if os.fork() == 0: act(); say(os.getpid()); stay()",
        "def stop(): say(os.getpid()); os.kill(os.getpid(), signal.SIGSTOP)",
        "def escape():",
        "    os.setsid()",
        "    if os.fork(): os._exit(0)",
        "for act in (lambda: None, os.setsid, escape, stop): begin(act)",
        "while open('/proc/self/fd/1').read().count('\\n') < 4: time.sleep(0.002)",
        "os._exit(9)",
    )
    run(start_keeper(order))
    exit = wait_for_end(directory)
    assert (exit.exit_code, exit.leftover) == (9, 4)
    assert not any(is_alive(int(pid)) for pid in read_output(directory))


def test_what_ends_by_itself_just_after_the_leader_is_not_killed(directory: Path) -> None:
    order = make_script(
        directory,
        "read, write = os.pipe()",
        "if os.fork() == 0:",
        "    os.close(write); os.read(read, 1); say('tidied up'); os._exit(0)",
        "os._exit(0)",
    )
    run(start_keeper(order))
    assert wait_for_end(directory).leftover == 0
    assert read_output(directory) == ["tidied up"]


def test_the_lock_is_held_until_nothing_is_left(directory: Path) -> None:
    """The end is durable at once, and known; a new attempt may start only when the lock is free."""
    run(start_keeper(make_script(directory, "if os.fork() == 0: stay()", "os._exit(5)")))
    wait_until(lambda: records.load_exit(directory))
    first = records.load_exit(directory)
    assert first is not None
    assert first.exit_code == 5
    assert isinstance(observe_attempt(directory), Held)
    assert wait_for_end(directory).leftover == 1


def test_daemons_are_told_the_end_before_they_are_hung_up_on(directory: Path) -> None:
    async def watch() -> Daemon:
        await start_keeper(make_script(directory, "stay()"))
        daemon = await Daemon().connect(directory)
        assert daemon.last.exit is None
        daemon.link.ask_stop("stop", 10)
        await daemon.until_gone()
        assert not is_locked(directory / records.LOCK), "gone means that the lock is free"
        return daemon

    exit = run(watch()).last.exit
    assert exit is not None
    assert exit == wait_for_end(directory)


def test_an_end_that_cannot_be_saved_is_told_held_and_saved_later(directory: Path) -> None:
    """A full disk: the keeper keeps the lock, and the end, until there is room."""

    async def fill() -> Daemon:
        await start_keeper(make_script(directory, "signal.signal(15, lambda *_: os._exit(6))", "say('up')", "stay()"))
        await asyncio.to_thread(wait_for_output, directory)
        daemon = await Daemon().connect(directory)
        keeper = get_run(directory).keeper.pid
        resource.prlimit(keeper, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        daemon.link.ask_stop("stop", 10)
        await daemon.until(lambda: daemon.last.exit)
        assert daemon.last.stop_reason == "stop", "a stop that could not be saved holds all the same"
        assert records.load_exit(directory) is None
        assert records.load_stop(directory) is None
        assert isinstance(observe_attempt(directory), Held)
        resource.prlimit(keeper, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await daemon.until_gone()
        return daemon

    daemon = run(fill())
    assert daemon.last.exit is not None
    assert wait_for_end(directory).exit_code == daemon.last.exit.exit_code == 6


def test_a_keeper_whose_directory_was_removed_does_not_stay_for_ever(directory: Path, tmp_path: Path) -> None:
    run(start_keeper(make_script(directory, "say('up')", "stay()")))
    wait_for_output(directory)
    record = get_run(directory)
    directory.rename(tmp_path / "moved")
    os.kill(record.leader.pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(record.keeper.pid))
    (tmp_path / "moved").rename(directory)


def test_the_last_words_of_the_job_are_part_of_its_end(directory: Path) -> None:
    """Though it connects, reports and ends before its keeper, which stands still meanwhile, has looked once."""
    order = make_script(
        directory,
        "import json, socket",
        "def tell(**message): channel.sendall(json.dumps(message).encode() + b'\\n')",
        "def speak(*_):",
        "    global channel",
        "    channel = socket.socket(socket.AF_UNIX); channel.connect(os.environ['PERDURE_CHANNEL'])",
        "    tell(type='hello', role='job', version=1)",
        "    tell(type='progress', step=12, loss=0.5, total=400)",
        "    tell(type='checkpoint', step=10, path='/c/step-10')",
        "    os._exit(1)",
        "signal.signal(signal.SIGUSR1, speak)",
        "say('up'); stay()",
    )
    run(start_keeper(order))
    wait_for_output(directory)
    record = get_run(directory)
    os.kill(record.keeper.pid, signal.SIGSTOP)
    wait_until(lambda: (seen := observe_process(record.keeper.pid)) is not None and seen.state == "T")
    os.kill(record.leader.pid, signal.SIGUSR1)
    wait_until(lambda: not is_alive(record.leader.pid))
    os.kill(record.keeper.pid, signal.SIGCONT)
    wait_for_end(directory)
    exit = records.load_exit(directory)
    assert exit is not None
    assert (exit.step, exit.checkpoint_step, exit.checkpoint_path) == (12, 10, "/c/step-10")
