"""Two jobs that name one checkpoint directory never run at once, whatever is asked of them and whatever dies.

At random, from a printed seed: stop, resume, restart, park and submit, several at once; the daemon killed while it
answers, the registry lost, a leader or a keeper killed. The jobs themselves see whether they are alone.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from perdured.client import Client
from perdured.errors import PerdureError
from perdured.wire import Wish
from support.daemons import Daemon
from support.seeds import make_random

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SOLE = Path(__file__).parents[1] / "support" / "sole.py"
WISHES: tuple[Wish, ...] = ("resume", "resume", "restart", "restart", "stop", "park")
ROUNDS = 16


class Disturber:
    """What befalls the two jobs of one directory."""

    def __init__(self, daemon: Daemon, chance: random.Random) -> None:
        self._daemon = daemon
        self._chance = chance
        self.folder = daemon.root / "alone"
        self.folder.mkdir()
        command = json.dumps([sys.executable, str(SOLE), str(self.folder)])
        rules = '[restart]\nbackoff = "50ms..200ms"\n[stop]\ngrace = "5s"\n'
        self._spec = f'command = {command}\n[checkpoint]\ndir = "{self.folder}/checkpoints"\n{rules}'

    def submit(self) -> None:
        with suppress(PerdureError):
            Client(self._daemon.socket).submit(self._spec, self.folder, dict(os.environ))

    def list_jobs(self) -> list[str]:
        return [job["id"] for job in self._daemon.client.list_jobs(everything=True)]

    def ask(self, job: str, wish: Wish) -> None:
        with suppress(PerdureError):
            Client(self._daemon.socket, timeout=10).ask(job, wish)

    def settle(self) -> None:
        """All at rest, one parked perhaps: from here two may be started at once."""
        jobs = self.list_jobs()
        for job in jobs:
            self.ask(job, self._chance.choice(("stop", "park")))
        for job in jobs:
            self._daemon.wait_for_state(job, "stopped", "parked", "failed")

    def ask_several(self, kills: bool) -> None:
        """At once, of different jobs; with the daemon killed in the midst of it."""
        jobs = self.list_jobs()
        asks = [threading.Thread(target=self.ask, args=(job, self._chance.choice(WISHES))) for job in jobs]
        asks += [threading.Thread(target=self.submit) for _ in range(2 - len(jobs))]
        for thread in asks:
            thread.start()
        if kills:
            time.sleep(self._chance.uniform(0, 0.1))
            self._daemon.kill(self._chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
        for thread in asks:
            thread.join()

    def kill_a_process(self, names: tuple[str, ...] = ("leader", "keeper")) -> None:
        """Of the attempt that is under way, if it is."""
        who = self._chance.choice(names)
        for path in self._daemon.state.glob("jobs/*/attempts/*/run.json"):
            process = json.loads(path.read_text())[who]
            _kill_if_same(process["pid"], process["start_time"])

    def go_on(self) -> None:
        kills = self._chance.random() < 0.6
        if self._chance.random() < 0.6:
            self.settle()
        self.ask_several(kills)
        if self._chance.random() < 0.2:
            self.kill_a_process()
        if kills:
            if self._chance.random() < 0.4:
                for path in self._daemon.state.glob("registry.sqlite*"):
                    path.unlink()
            self._daemon.start()
        time.sleep(self._chance.uniform(0, 0.4))

    def read(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


def _kill_if_same(pid: int, start_time: int) -> None:
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if int(fields[19]) == start_time:
            os.kill(pid, signal.SIGKILL)


def test_two_jobs_never_run_at_once_on_one_directory(daemon: Daemon) -> None:
    disturber = Disturber(daemon, make_random())
    disturber.submit()
    for _ in range(ROUNDS):
        disturber.go_on()
        assert not disturber.read("doubled.txt"), "\n".join(disturber.read("doubled.txt"))
    assert len(disturber.read("lives.txt")) > 1
    jobs = disturber.list_jobs()
    for job in jobs:
        disturber.ask(job, "stop")
    for job in jobs:
        daemon.wait_for_state(job, "stopped", "failed", "succeeded")
    disturber.ask(jobs[-1], "resume")
    daemon.wait_for_state(jobs[-1], "running")
    assert not disturber.read("doubled.txt")
