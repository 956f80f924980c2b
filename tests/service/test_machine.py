"""The machine's service on a machine that was booted by systemd: installed, killed, hung, shut down, booted again; and
every job goes on, in a unit of its own and out of the daemon's sandbox."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import BIN, wait_for
from support.machine import Machine, find_lack, run_machine
from support.under_systemd import Running

_LACK = find_lack()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(180),
    pytest.mark.skipif(_LACK is not None, reason=str(_LACK)),
]

STATE = "/var/lib/perdure"
PERDURE = str(BIN / "perdure")
SAVES_SOON = 3.0
"""Seconds to save at shutdown."""


class OnMachine(Running):
    """Root's view of the machine's service."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, machine.find(STATE))
        self.machine = machine

    def perdure(self, *arguments: str) -> str:
        """As the account that the jobs run as, at its home."""
        return self.machine.run(
            "env", f"--chdir={STATE}", PERDURE, "--socket", "/run/perdure/perdured.sock", *arguments, user="perdure"
        )


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with run_machine(tmp_path / "m") as machine:
        machine.boot()
        yield machine


@pytest.fixture
def running(machine: Machine) -> OnMachine:
    """The service, installed and started, and a job."""
    installed = machine.call(PERDURE, "service", "install", "--now")
    assert installed.returncode == 0, installed.stderr + machine.run("journalctl", "-u", "perdured", "--no-pager")
    running = OnMachine(machine)
    running.start_job(seconds_to_save=SAVES_SOON)
    return running


def test_the_service_is_installed_and_its_jobs_live_through_all_that_may_happen_to_it(running: OnMachine) -> None:
    """One boot, several disturbances: each is a second, a boot is three."""
    machine, job = running.machine, running.pid()
    assert running.find_unit_of(int(running.property("MainPID"))) == "perdured.service"
    assert running.find_unit_of(job) == running.unit()
    # The sandbox is the daemon's alone.
    assert _read_status(machine, int(running.property("MainPID")), "NoNewPrivs") == "1"
    assert _read_status(machine, job, "NoNewPrivs") == "0"
    assert _read_status(machine, job, "Seccomp") == "0"
    # Upgrade, stop, crash.
    machine.control("restart", "perdured")
    assert (running.show()["state"], running.pid()) == ("running", job)
    machine.control("stop", "perdured")
    assert running.is_alive(job)
    machine.control("start", "perdured")
    machine.run("kill", "-KILL", running.property("MainPID"))
    wait_for(lambda: running.property("NRestarts") == "1", "systemd to start it again")
    wait_for(lambda: running.pid() == job, "the next daemon to adopt the job")
    assert running.output() == ["ready\n"]
    shown = json.loads(machine.run(PERDURE, "service", "status", "--json"))
    assert (shown["installed"], shown["at_boot"], shown["state"], shown["lingers"]) == (True, True, "active", True)
    # And away: the job does not notice even that.
    machine.run(PERDURE, "service", "uninstall")
    assert running.property("LoadState") == "not-found"
    assert running.is_alive(job)


HEALTH = '[checkpoint]\ndir = "other"\n[health]\noutput_after = "2s"\n[stop]\ngrace = "1s"\n'
HANGS = "import time\nprint('up', flush=True)\ndef stuck(): time.sleep(1000)\nstuck()"


@pytest.mark.skipif(not (BIN / "py-spy").exists(), reason="no py-spy")
def test_the_stacks_of_a_job_that_hangs_are_seen_from_outside_the_sandbox(running: OnMachine) -> None:
    """The daemon may not trace; a unit beside it may. Of a program that uses nothing of Perdure, C code included."""
    machine = running.machine
    daemon = running.property("MainPID")
    assert _read_status(machine, int(daemon), "Seccomp") == "2"
    spec = f'name = "hangs"\ncommand = [{json.dumps(sys.executable)}, "-c", {json.dumps(HANGS)}]\n'
    machine.find(f"{STATE}/hangs.toml").write_text(spec + HEALTH)
    running.perdure("submit", f"{STATE}/hangs.toml")

    def find() -> str:
        logs = [log.read_text() for log in machine.find(STATE).glob("jobs/*/attempts/1/output.log")]
        return next((log for log in logs if "up\n" in log and "stuck (" in log), "")

    log = wait_for(find, "its stacks", 60)
    assert re.search(r"stuck \(<string>:3\)", log)
    assert re.search(r"(libc|libpython|python)[^ ]*\)", log), "a frame that is not Python's"


def _read_status(machine: Machine, pid: int, field: str) -> str:
    lines = machine.run("cat", f"/proc/{pid}/status").splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{field}:"))


def test_jobs_are_saved_before_the_machine_goes_down_and_go_on_after_the_boot(running: OnMachine) -> None:
    machine = running.machine
    machine.control("poweroff")
    machine.wait_until_down()
    (job,) = running.load_jobs()
    assert job.phase.kind == "parked"
    assert [end["exit_code"] for end in running.exit_records()] == [75]
    machine.boot()
    wait_for(lambda: running.output() == ["ready\n", "ready\n"], "the job to go on")
    assert running.show()["state"] == "running"


def test_without_a_daemon_keepers_have_their_own_time_at_shutdown(running: OnMachine) -> None:
    machine = running.machine
    machine.control("stop", "perdured")
    machine.control("poweroff")
    machine.wait_until_down()
    (end,) = running.exit_records()
    assert (end["exit_code"], end["stop_reason"], end["drained"]) == (75, "preempted", True)
    machine.boot()
    wait_for(lambda: running.output() == ["ready\n", "ready\n"], "the job to go on")
