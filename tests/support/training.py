"""Runs training scripts as processes that start in 30 ms, not in two seconds, so that a test can afford to kill many.

A server process imports torch once, runs no operation of it, and forks a child for each script: torch's thread pools
do not survive a fork, so the child asks for one thread before anything else. The child then behaves as `python script`
does: its own signals, streams, arguments, environment, and exit status.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

TESTS = Path(__file__).resolve().parents[1]
CEILING = 40.0
"""Seconds that no script of a test needs."""


class Ended(NamedTuple):
    """How a process ended: its exit code, negative for a signal, as `subprocess` says it; and what it wrote."""

    code: int
    output: str


class Life:
    """One process of a script."""

    def __init__(self, server: Trainings, pid: int, output: Path) -> None:
        self.pid = pid
        self._server = server
        self._output = output
        self._ended: Ended | None = None

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait(self, ceiling: float = CEILING) -> Ended | None:
        """How it ended; None if it still runs after `ceiling` seconds."""
        if self._ended is None:
            code = self._server.ask({"wait": self.pid, "ceiling": ceiling})["code"]
            self._ended = None if code is None else Ended(code, self.output)
        return self._ended

    def end(self) -> Ended:
        ended = self.wait()
        if ended is None:
            self.send(signal.SIGKILL)
            raise AssertionError(f"still running after {CEILING} s:\n{self.output}")
        return ended

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait_for(self, text: str) -> None:
        """Until the script has written `text`."""
        deadline = time.monotonic() + CEILING
        while text not in self.output:
            if time.monotonic() > deadline or self.wait(0.0) is not None:
                assert text in self.output, f"never wrote {text!r}:\n{self.output}"
            time.sleep(0.005)


class Trainings:
    """The server, seen from the tests."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "support.training"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        self._count = 0

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer: dict[str, Any] = json.loads(self._server.stdout.readline())
        return answer

    def start(self, script: Path, *arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> Life:
        self._count += 1
        output = cwd / f".output-{self._count}"
        request = {
            "script": str(script),
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd),
            "env": dict(env or {}),
            "output": str(output),
        }
        output.touch()
        return Life(self, self.ask(request)["pid"], output)

    def run(self, script: Path, *arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> Ended:
        return self.start(script, *arguments, cwd=cwd, env=env).end()

    def close(self) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(10)
        self._server.stdout.close()


@contextlib.contextmanager
def open_trainings() -> Iterator[Trainings]:
    trainings = Trainings()
    try:
        yield trainings
    finally:
        trainings.close()


# The server ------------------------------------------------------------------------------------------------------


def _serve(requests: IO[str], answers: IO[str]) -> None:
    _preload()
    for line in requests:
        request = json.loads(line)
        answer = {"code": _wait(request)} if "wait" in request else {"pid": _fork(request)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _preload() -> None:
    import torch._dynamo  # noqa: F401  the first optimizer would load it, at the cost of a second

    import perdure.classic
    import perdure.loaders
    import perdure.pickles
    import perdure.streamed
    import perdure.tensors  # noqa: F401


def _wait(request: Mapping[str, Any]) -> int | None:
    deadline = time.monotonic() + request["ceiling"]
    while True:
        pid, status = os.waitpid(request["wait"], os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.002)


def _fork(request: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        code = _run(request)
    finally:
        os._exit(code)


def _run(request: Mapping[str, Any]) -> int:
    import atexit
    import random
    import runpy
    import traceback

    import numpy as np
    import torch

    torch.set_num_threads(1)
    random.seed()
    np.random.seed()
    torch.seed()
    for fd, path in ((0, os.devnull), (1, request["output"]), (2, request["output"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_APPEND), fd)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "a"), open(2, "a")  # noqa: SIM115
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    sys.argv = [request["script"], *request["arguments"]]
    sys.path[0] = str(Path(request["script"]).parent)
    code = 0
    try:
        runpy.run_path(request["script"], run_name="__main__")
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:  # noqa: BLE001  as the interpreter does at the end of a script
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
