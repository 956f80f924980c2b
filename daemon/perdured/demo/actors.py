"""The demo's processes: a daemon that is nobody else's, and the same training with no Perdure around it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from perdured.client import Client
from perdured.errors import NoDaemon, PerdureError

from .stage import Stage, clean_environment

ANSWERS_WITHIN = 30.0
"""Seconds. A daemon is up in well under one; the rest is for a machine that is very busy."""


class PrivateDaemon:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._process: subprocess.Popen[bytes] | None = None
        self.client = Client(stage.socket)

    @property
    def log(self) -> Path:
        return self._stage.root / "perdured.log"

    def start(self) -> int:
        """Its pid, once it answers."""
        stage = self._stage
        argv = [sys.executable, "-m", "perdured", "--state-dir", str(stage.state.root), "--socket", str(stage.socket)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment(), start_new_session=True
            )
        self._wait_until_it_answers(self._process)
        return self._process.pid

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(ANSWERS_WITHIN)
        except subprocess.TimeoutExpired:
            self.kill()

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + ANSWERS_WITHIN
        while time.monotonic() < deadline and process.poll() is None:
            try:
                self.client.health()
            except NoDaemon:
                time.sleep(0.02)
            else:
                return
        raise PerdureError("The demo's daemon did not come up.", _last_line(self.log), f"Its log is {self.log}.")


class UndisturbedRun:
    """`python gpt.py`, as anybody would start it."""

    def __init__(self, stage: Stage) -> None:
        self.output = stage.root / "undisturbed.log"
        argv = [*stage.command, "--dir", str(stage.undisturbed), "--every", stage.scale.every]
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                argv, cwd=stage.root, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=clean_environment()
            )

    def is_done(self) -> bool:
        """Whether it has ended well. Raises PerdureError when it has ended otherwise."""
        status = self._process.poll()
        if status:
            how = f"exit code {status}" if status > 0 else f"signal {-status}"
            why = f"It ended with {how}; the last it said was: {_last_line(self.output)}"
            raise PerdureError("The undisturbed run failed.", why, f"Its output is {self.output}.")
        return status == 0

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines()
    return lines[-1] if lines else "(nothing)"
