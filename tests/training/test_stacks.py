"""A process tells its stacks on a signal, and does no harm to programs that use that signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.contract import environment, messages
from support.keepers import Listener, listening
from support.processes import wait_until

HEAD = "import faulthandler, os, signal, sys, time, threading, perdure\nfrom perdure.stacks import SIGNAL\n"


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Listener]:
    with listening(tmp_path / "keeper.sock") as listener:
        yield listener


def run(keeper: Listener, code: str) -> subprocess.Popen[str]:
    env = {**os.environ, environment.CHANNEL: str(keeper.path)}
    argv = [sys.executable, "-c", HEAD + code]
    return subprocess.Popen(argv, cwd=keeper.path.parent, env=env, stdout=subprocess.PIPE, text=True)


def test_a_main_thread_that_waits_for_ever_in_c_tells_where(keeper: Listener) -> None:
    code = "def stuck():\n    lock = threading.Lock(); lock.acquire(); print(flush=True); lock.acquire()\n"
    code += "with perdure.Run(): stuck()\n"
    with run(keeper, code) as process:
        (told,) = keeper.wait_for(messages.STACKS)
        log = keeper.path.with_name(messages.STACKS_LOG)
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        process.send_signal(told["signal"])
        wait_until(lambda: "in <module>" in log.read_text(), "the stacks")
        assert process.poll() is None
        process.kill()
    assert "in stuck" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_program_that_uses_the_signal_keeps_it(keeper: Listener) -> None:
    code = (
        "signal.signal(SIGNAL, lambda *_: print('mine'))\n"
        "with perdure.Run() as run: os.kill(os.getpid(), SIGNAL); run.report()\n"
    )
    with run(keeper, code) as process:
        output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "mine\n")
    assert not keeper.of_type(messages.STACKS)


def test_without_a_keeper_the_signal_is_left_alone(tmp_path: Path) -> None:
    code = HEAD + "with perdure.Run(): print(signal.getsignal(SIGNAL) is signal.SIG_DFL)\n"
    env = {name: value for name, value in os.environ.items() if name != environment.CHANNEL}
    code += "print(faulthandler.unregister(SIGNAL))\n"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]


def test_a_data_worker_that_outlives_the_run_does_not_keep_its_line_open(keeper: Listener) -> None:
    """The keeper would go on waiting for a step, and take what the script does after its loop for a hang."""
    code = (
        "with perdure.Run() as run:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n        signal.pause()\n"
        "    run.report()\n"
        "print(child, flush=True)\n"
    )
    with run(keeper, code) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            wait_until(lambda: keeper.gone == 1, "the keeper sees it go")
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)
