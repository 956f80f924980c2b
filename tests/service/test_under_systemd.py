"""The user's unit under a real service manager: jobs survive the daemon's restart and its hang, and are parked when the
manager itself goes down."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perdured.core.record import JobRecord
from perdured.state.paths import StateDir
from perdured.state.registry import open_registry
from support.daemons import BIN, wait_for
from support.sources import ROOT
from support.systemd import CAN_RUN, UserManager, run_user_manager

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.skipif(not CAN_RUN, reason="no systemd to run here")]

JOB = """
import signal, sys, time
def save(*_):
    time.sleep(5)
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True:
    signal.pause()
"""
"""Takes longer to save than the unit of the test lets the daemon hang, or take to stop."""


class Running:
    """A manager that runs the daemon, and a job in it."""

    def __init__(self, manager: UserManager, home: Path) -> None:
        self.manager = manager
        self.home = home
        unit = (ROOT / "systemd" / "user" / "perdured.service").read_text(encoding="utf-8")
        changes = {"%h/.local/bin": str(BIN), "WatchdogSec=30s": "WatchdogSec=2s", "StopSec=3min": "StopSec=2s"}
        for own, of_the_test in changes.items():
            assert own in unit
            unit = unit.replace(own, of_the_test)
        (manager.units / "perdured.service").write_text(unit, encoding="utf-8")
        manager.control("daemon-reload")
        manager.control("start", "perdured")
        manager.run(str(BIN / "perdure"), "submit", "--name", "job", "--", sys.executable, "-c", JOB)
        wait_for(lambda: self.output() == ["ready\n"], "the job to run")

    def show(self) -> dict[str, Any]:
        shown = self.manager.run(str(BIN / "perdure"), "show", "job", "--json")
        return json.loads(shown) if shown else {}

    def pid(self) -> int:
        attempts = self.show().get("attempts") or [{}]
        return attempts[-1].get("pid") or 0

    def output(self) -> list[str]:
        """What each attempt has printed."""
        return [log.read_text() for log in sorted((self.home / "state").glob("jobs/*/attempts/*/output.log"))]

    def load_jobs(self) -> list[JobRecord]:
        """What the registry holds once no daemon is there any more."""
        registry, _ = open_registry(StateDir(self.home / "state").registry)
        with closing(registry):
            return [record for _, record in registry.load_jobs()]

    def property(self, name: str) -> str:
        return self.manager.control("show", "perdured", "--property", name, "--value")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with run_user_manager(tmp_path) as manager:
        yield Running(manager, tmp_path)


def test_start_returns_when_the_daemon_serves(running: Running) -> None:
    assert running.property("ActiveState") == "active"
    assert "serving" in running.property("StatusText")


def test_a_restart_of_the_service_leaves_the_job_running(running: Running) -> None:
    job, daemon = running.pid(), running.property("MainPID")
    running.manager.control("restart", "perdured")
    assert running.property("MainPID") != daemon
    assert (running.show()["state"], running.pid()) == ("running", job)


def test_a_daemon_that_hangs_is_replaced_and_the_job_does_not_notice(running: Running) -> None:
    job = running.pid()
    running.manager.run("kill", "-STOP", running.property("MainPID"))
    wait_for(lambda: running.property("NRestarts") == "1", "the watchdog to start it again")
    wait_for(lambda: running.pid() == job, "the next daemon to adopt the job")
    assert running.output() == ["ready\n"]


def test_jobs_are_parked_when_the_manager_goes_down(running: Running) -> None:
    """The daemon asks for the time that they need, and no watchdog ends it while it waits."""
    running.manager.control("exit")
    running.manager.wait_until_gone(ceiling=30)
    (job,) = running.load_jobs()
    assert job.phase.kind == "parked"
    assert job.attempts[-1].exit_code == 75
