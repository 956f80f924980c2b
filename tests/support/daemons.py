"""A real `perdured` in a directory of its own, and the real `perdure` that talks to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from perdured.client import Client
from perdured.errors import NoDaemon

BIN = Path(sys.executable).parent
COUNTER = Path(__file__).with_name("counter.py")
T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str, ceiling: float = 20.0) -> T:
    """What `condition` returns, once it is truthy; fails with `what` after `ceiling` seconds."""
    deadline = time.monotonic() + ceiling
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {ceiling:g} s in vain for {what}")


class Daemon:
    """One state directory, one socket; the process may come and go."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.socket = root / "run" / "perdured.sock"
        self.process: subprocess.Popen[bytes] | None = None
        self.log = root / "perdured.log"
        self.program: tuple[str, ...] = ("-m", "perdured")
        self.prefix: tuple[str, ...] = ()
        """What the daemon is started through, such as `unshare`."""

    @property
    def env(self) -> dict[str, str]:
        own = {"PERDURE_SOCKET_PATH": str(self.socket), "PERDURE_STATE_DIR": str(self.state), "NO_COLOR": "1"}
        return {**os.environ, **own}

    def start(self, *arguments: str, is_to_live: bool = True) -> None:
        """Returns when it answers; at once, if it is not to live so long."""
        with self.log.open("ab") as log:
            command = [*self.prefix, sys.executable, *self.program, *arguments]
            self.process = subprocess.Popen(command, env=self.env, stderr=log, stdout=log)
        if is_to_live:
            wait_for(self._answers, "the daemon to answer")

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=20)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.client.health()
        except NoDaemon:
            return False
        return True

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """`perdure` with these arguments, run to its end."""
        command = [str(BIN / "perdure"), *arguments]
        return subprocess.run(
            command, env={**self.env, **(env or {})}, capture_output=True, text=True, timeout=60, check=False
        )

    def run_daemon(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A second `perdured`, which is expected to refuse."""
        command = [sys.executable, "-m", "perdured", *arguments]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=30, check=False)

    def submit(self, folder: Path, *command: str, extra: str = "") -> str:
        """Submits a spec written into `folder`; returns the job's id."""
        folder.mkdir(exist_ok=True)
        spec = folder / "job.toml"
        spec.write_text(f"command = {json.dumps(list(command))}\n{extra}")
        done = self.run("submit", str(spec))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def count(self, folder: Path, *options: str, extra: str = "") -> str:
        """Submits the counting job."""
        return self.submit(folder, sys.executable, str(COUNTER), *options, extra=extra)

    @property
    def client(self) -> Client:
        return Client(self.socket)

    def show(self, job: str) -> dict[str, Any]:
        """As `perdure show --json`, without the start of an interpreter each time."""
        return cast("dict[str, Any]", self.client.show(job))

    def wait_for_state(self, job: str, *states: str, ceiling: float = 20.0) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            shown = self.show(job)
            return shown if shown["state"] in states else None

        return wait_for(reached, f"job {job} to be {' or '.join(states)}", ceiling)

    def wait_for_step(self, job: str, step: int) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            shown = self.show(job)
            return shown if (shown["step"] or 0) >= step else None

        return wait_for(reached, f"job {job} to reach step {step}")

    def close(self) -> None:
        """Ends the daemon and everything that its keepers hold."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for run in self.state.glob("jobs/*/attempts/*/run.json"):
            record = json.loads(run.read_text())
            for who in ("leader", "keeper"):
                _kill_if_same(record[who]["pid"], record[who]["start_time"])


def _kill_if_same(pid: int, start_time: int) -> None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if int(fields[19]) == start_time:
            os.kill(pid, signal.SIGKILL)
    except (OSError, IndexError, ProcessLookupError):
        return
