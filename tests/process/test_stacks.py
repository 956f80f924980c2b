"""The stacks of an attempt's processes, before it is ended: whoever it is, and whatever is installed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from perdured.keeper import cgroup
from perdured.keeper.records import OUTPUT_LOG
from perdured.processes import Teller, dump_stacks, is_paused, sample_shape, spy, start_keeper
from support.processes import get_run, make_order, make_script, run, wait_for_output, wait_until

TELLING = (
    "import faulthandler",
    "number = signal.SIGRTMIN + 9",
    "log = open(os.environ['LOG'], 'w')",
    "faulthandler.register(number, file=log)",
    "def wait_for_a_message(): stay()",
    "say(int(number)); wait_for_a_message()",
)


@pytest.fixture
def no_spy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spy, "find_spy", lambda: None)


def start_telling(directory: Path) -> Teller:
    script = make_script(directory, *TELLING)
    order = make_order(directory, *script.argv, LOG=str(directory / "stacks.log"))
    run(start_keeper(order))
    number = int(wait_for_output(directory)[0])
    return Teller(get_run(directory).leader.pid, number)


def test_a_process_that_tells_its_stacks_is_asked_for_them(directory: Path, no_spy: None) -> None:
    teller = start_telling(directory)
    dump_stacks(directory, "no step for 9 s; what its processes are doing:", teller)
    log = (directory / OUTPUT_LOG).read_text()
    assert "perdure: no step for 9 s; what its processes are doing:\n" in log
    assert f"process {teller.pid} (state S): {sys.executable}" in log
    assert "in wait_for_a_message" in log
    assert f"thread {teller.pid} " in log, "what it does in the kernel"


def test_a_main_thread_that_waits_is_found_in_one_place(directory: Path) -> None:
    teller = start_telling(directory)
    first, second = sample_shape(directory, teller), sample_shape(directory, teller)
    assert first is not None
    assert "wait_for_a_message" in first
    assert first == second


def test_a_process_that_does_not_catch_the_signal_is_not_sent_it(directory: Path) -> None:
    """It would die of it. The kernel's word counts, not what was told."""
    run(start_keeper(make_script(directory, "say('up'); stay()")))
    wait_for_output(directory)
    leader = get_run(directory).leader.pid
    teller = Teller(leader, signal.SIGRTMIN + 9)
    assert sample_shape(directory, teller) is None
    dump_stacks(directory, "title", teller)
    assert not is_paused(leader)
    log = (directory / OUTPUT_LOG).read_text()
    assert re.search(rf"process {leader} \(state [RS]\)", log), "it may still be on its way into its sleep"


def test_a_stranger_is_never_signalled(directory: Path) -> None:
    """A process without the attempt's nonce, whatever its number is said to be."""
    start_telling(directory)
    heard: list[int] = []
    number = signal.SIGRTMIN + 9
    before = signal.signal(number, lambda *_: heard.append(1))
    try:
        assert sample_shape(directory, Teller(os.getpid(), number)) is None
    finally:
        signal.signal(number, before)
    assert not heard


@pytest.mark.parametrize("works", [True, False])
def test_py_spy_is_preferred_where_it_is_installed_and_works(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, works: bool
) -> None:
    _write_spy(tmp_path, f"echo seen by a spy: $*\nexit {int(not works)}\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    teller = start_telling(directory)
    dump_stacks(directory, "title", teller)
    log = (directory / OUTPUT_LOG).read_text()
    assert (f"seen by a spy: dump --pid {teller.pid} --native" in log) == works
    assert ("in wait_for_a_message" in log) == (not works)


def _write_spy(folder: Path, script: str) -> None:
    program = folder / "py-spy"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)


def test_a_spy_that_may_not_trace_looks_without(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sandbox that forbids ptrace."""
    _write_spy(tmp_path, "case $* in *--nonblocking) echo seen by a spy: $*;; *) exit 1;; esac\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    teller = start_telling(directory)
    dump_stacks(directory, "title", teller)
    assert f"seen by a spy: dump --pid {teller.pid} --nonblocking" in (directory / OUTPUT_LOG).read_text()


@pytest.mark.skipif(spy.find_spy() is None, reason="no py-spy")
def test_the_real_py_spy_sees_python_and_the_c_code_beneath(directory: Path) -> None:
    """Of a process that tells nothing by itself. Whether it may look is this machine's business."""
    run(start_keeper(make_script(directory, "def wait_in_c(): time.sleep(1000)", "say('up'); wait_in_c()")))
    wait_for_output(directory)
    leader = get_run(directory).leader.pid
    command = [str(spy.find_spy()), "dump", "--native", "--pid", str(leader)]
    may_look = subprocess.run(command, capture_output=True, check=False)
    if may_look.returncode != 0:
        pytest.skip(f"py-spy may not look here: {may_look.stderr.decode()[-200:]}")
    dump_stacks(directory, "title", None)
    log = (directory / OUTPUT_LOG).read_text()
    assert re.search(r"wait_in_c \(.*\)", log)
    assert re.search(r"(libc|libpython|python)[^ ]*\)", log), "a frame that is not Python's"


def test_a_stopped_process_is_paused_wherever_it_is_in_the_tree(directory: Path) -> None:
    run(start_keeper(make_script(directory, "if os.fork() == 0: say(os.getpid()); stay()", "stay()")))
    child, leader = int(wait_for_output(directory)[0]), get_run(directory).leader.pid
    assert not is_paused(leader)
    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: is_paused(leader), "it is seen to be stopped")
    os.kill(child, signal.SIGCONT)
    wait_until(lambda: not is_paused(leader), "it is seen to go on")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_frozen_cgroup_is_a_pause(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_frozen: bool
) -> None:
    """Of either version, by the files of its hierarchy."""
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "cgroup.events").write_text(f"populated 1\nfrozen {int(is_frozen)}\n")
    (tmp_path / "job" / "freezer.state").write_text("FROZEN\n" if is_frozen else "THAWED\n")
    mount = str(tmp_path)
    wanted = "" if version == 2 else "freezer"
    monkeypatch.setattr(cgroup, "MOUNTS", (mount,))
    monkeypatch.setattr(cgroup, "_FREEZER", mount)
    monkeypatch.setattr(cgroup, "_find_path", lambda _, controller, __: "job" if controller == wanted else None)
    assert cgroup.is_frozen(os.getpid()) == is_frozen
