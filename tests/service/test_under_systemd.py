"""The user's unit under a real service manager: jobs survive the daemon's restart, death and hang, each in a unit of
its own, and are parked when the manager itself goes down."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.core.observation import Absent, Ended
from perdured.keeper import records
from perdured.keeper.lock import is_locked
from perdured.processes import observe_attempt
from support.daemons import BIN, wait_for
from support.sources import ROOT
from support.systemd import CAN_RUN, UserManager, run_user_manager
from support.under_systemd import Running, change

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.skipif(not CAN_RUN, reason="no systemd to run here")]

LONG = 5.0
"""Seconds to save: more than the unit of the test lets the daemon hang, or take to stop."""
CHANGES = {"%h/.local/bin": str(BIN), "WatchdogSec=30s": "WatchdogSec=2s", "StopSec=3min": "StopSec=2s"}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[UserManager]:
    with run_user_manager(tmp_path) as manager:
        unit = (ROOT / "systemd" / "user" / "perdured.service").read_text(encoding="utf-8")
        (manager.units / "perdured.service").write_text(change(unit, CHANGES), encoding="utf-8")
        manager.control("daemon-reload")
        manager.control("start", "perdured")
        yield manager


@pytest.fixture
def running(manager: UserManager, tmp_path: Path) -> Running:
    """The daemon, and a job that saves at once."""
    running = Running(manager, tmp_path / "state")
    running.start_job()
    return running


def is_over(running: Running) -> bool:
    """Also of the unit nothing is left."""
    return running.property("LoadState", running.unit()) == "not-found"


def test_start_returns_when_the_daemon_serves(running: Running) -> None:
    assert running.property("ActiveState") == "active"
    assert "serving" in running.property("StatusText")


def test_a_keeper_and_its_job_are_a_unit_of_their_own(running: Running) -> None:
    daemon, record, unit = int(running.property("MainPID")), running.run_record(), running.unit()
    assert running.find_unit_of(daemon) == "perdured.service"
    assert running.find_unit_of(running.pid()) == unit
    assert running.property("MainPID", unit) == str(record["keeper"]["pid"])
    assert running.property("Slice", unit) == "perdure.slice"


def test_a_restart_of_the_service_leaves_the_job_running(running: Running) -> None:
    job, daemon = running.pid(), running.property("MainPID")
    running.manager.control("restart", "perdured")
    assert running.property("MainPID") != daemon
    assert (running.show()["state"], running.pid()) == ("running", job)


def test_a_stop_of_the_service_leaves_the_job_running(running: Running) -> None:
    job = running.pid()
    running.manager.control("stop", "perdured")
    assert running.property("ActiveState", running.unit()) == "active"
    running.manager.control("start", "perdured")
    assert (running.show()["state"], running.pid()) == ("running", job)


def test_a_killed_daemon_is_replaced_and_the_job_does_not_notice(running: Running) -> None:
    job = running.pid()
    running.manager.run("kill", "-KILL", running.property("MainPID"))
    wait_for(lambda: running.property("NRestarts") == "1", "systemd to start it again")
    wait_for(lambda: running.pid() == job, "the next daemon to adopt the job")
    assert running.output() == ["ready\n"]


def test_a_daemon_that_hangs_is_replaced_and_the_job_does_not_notice(running: Running) -> None:
    job = running.pid()
    running.manager.run("kill", "-STOP", running.property("MainPID"))
    wait_for(lambda: running.property("NRestarts") == "1", "the watchdog to start it again")
    wait_for(lambda: running.pid() == job, "the next daemon to adopt the job")
    assert running.output() == ["ready\n"]


def test_a_stop_of_the_keepers_unit_is_a_preemption(running: Running) -> None:
    """The job saves, ends with 75 and goes on in the next attempt."""
    unit = running.unit()
    running.manager.control("stop", unit)
    wait_for(lambda: running.output() == ["ready\n", "ready\n"], "the next attempt")
    (end,) = running.exit_records()
    assert (end["exit_code"], end["stop_reason"]) == (75, "preempted")
    assert running.unit() != unit


def test_a_killed_keeper_takes_nothing_along(running: Running) -> None:
    """systemd kills nobody for it; the daemon tends the orphan, and nothing of it is left when it was stopped."""
    job, unit = running.pid(), running.unit()
    running.manager.run("kill", "-KILL", str(running.run_record()["keeper"]["pid"]))
    wait_for(lambda: running.property("ActiveState", unit) == "failed", "systemd to see the keeper's death")
    assert (running.show()["state"], running.pid()) == ("running", job)
    running.perdure("stop", "job")
    wait_for(lambda: running.show()["state"] == "stopped", "the orphan to end")
    wait_for(lambda: is_over(running), "systemd to forget the unit")


def test_what_a_job_leaves_behind_is_cleared_with_its_unit(manager: UserManager, tmp_path: Path) -> None:
    running = Running(manager, tmp_path / "state")
    running.submit("import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)")
    wait_for(lambda: running.show()["state"] == "succeeded", "the job to end")
    assert [end["leftover"] for end in running.exit_records()] == [1]
    wait_for(lambda: is_over(running), "systemd to forget the unit")


START = """
import asyncio, os, signal, sys
from pathlib import Path
from perdured.processes import NoUnit, Order, start_keeper
from perdured.processes.launch import _save_want, open_keeper
async def open_channel():
    reader, writer = await open_keeper(order.directory, order.unit)
    assert await reader.readline() == b"ready\\n"
    return writer
order = Order(Path(sys.argv[1]), "job", 1, ("true",), dict(os.environ), "/", 15, 10.0, in_unit=True)
"""
DIES_BEFORE_GO = (
    START
    + """
_save_want(order, "nonce", order.unit)
async def begin():
    writer = await open_channel()
    print("ready", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(begin())
"""
)
STARTS_TWICE = (
    START
    + """
_save_want(order, "nonce", order.unit)
async def begin():
    writer = await open_channel()
    try:
        await open_channel()
    except NoUnit as error:
        print(error.why)
    writer.close()
asyncio.run(begin())
"""
)


def test_a_daemon_that_dies_before_go_leaves_nothing_and_the_attempt_can_be_started(
    manager: UserManager, tmp_path: Path
) -> None:
    attempt = tmp_path / "attempts" / "1"
    assert manager.run(sys.executable, "-c", DIES_BEFORE_GO, str(attempt)) == "ready"
    wait_for(lambda: not is_locked(attempt / records.LOCK), "the keeper to end by itself")
    assert observe_attempt(attempt) == Absent()
    wait_for(lambda: _is_forgotten(manager), "systemd to forget the unit")
    manager.run(sys.executable, "-c", START + "asyncio.run(start_keeper(order))", str(attempt))
    wait_for(lambda: not is_locked(attempt / records.LOCK), "the attempt to end")
    seen = observe_attempt(attempt)
    assert isinstance(seen, Ended)
    assert seen.exit.exit_code == 0


def _is_forgotten(manager: UserManager) -> bool:
    return manager.control("show", "perdure-keeper-job-1.service", "--property=LoadState", "--value") == "not-found"


def test_a_second_keeper_of_an_attempt_cannot_even_be_asked_for(manager: UserManager, tmp_path: Path) -> None:
    said = manager.run(sys.executable, "-c", STARTS_TWICE, str(tmp_path / "attempts" / "1"))
    assert said.startswith("systemd says: Unit perdure-keeper-job-1.service")


STANDS_BY = """
import asyncio, os, sys
from pathlib import Path
from perdured.processes import Order, StandbyOrder, start_keeper, start_standby
root = Path(sys.argv[1])
command = (sys.executable, str(root / "program.py"))
early = StandbyOrder(root / "standby", "job", command, dict(os.environ), "/", ("json",), in_unit=True, grace=10.0)
order = Order(root / "attempts" / "1", "job", 1, command, dict(os.environ), "/", 15, 10.0, in_unit=True)
async def begin():
    standby = await start_standby(early)
    print(standby.unit.name, (await start_keeper(order, early=standby)).stood_by)
asyncio.run(begin())
"""


def test_a_standby_is_a_unit_of_its_own_and_stays_it_as_the_attempt(manager: UserManager, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print(open('/proc/self/cgroup').read())")
    unit, was_of_use = manager.run(sys.executable, "-c", STANDS_BY, str(tmp_path)).split()
    attempt = tmp_path / "attempts" / "1"
    wait_for(lambda: isinstance(observe_attempt(attempt), Ended), "the attempt to end")
    assert (unit.startswith("perdure-keeper-job-standby-"), was_of_use) == (True, "True")
    assert f"{unit}/attempt" in (attempt / records.OUTPUT_LOG).read_text()
    assert records.load_want(attempt).unit == unit


EATS = "data = bytearray()\nwhile True:\n    data += bytes(1 << 20)"


def test_a_job_gets_no_more_memory_than_it_asked_for_and_its_keeper_survives(
    manager: UserManager, tmp_path: Path
) -> None:
    """Where the manager has no controller of memory, the job is told so, as without units."""
    running = Running(manager, tmp_path / "state")
    running.perdure("submit", "--name", "job", "--memory", "200MiB", "--", sys.executable, "-c", EATS)
    if "not limited" in running.perdure("events", "job"):
        pytest.skip("the manager of this test has no controller of memory")
    wait_for(lambda: running.show()["attempts"][0].get("cause") == "host_memory", "the kernel to kill it")
    (end, *_) = running.exit_records()
    assert (end["signal"], end["drained"]) == (9, True)
    assert 150 << 10 < end["usage"]["max_rss_kib"] < 230 << 10


CALLS_OFTEN = """
import os
from jeepney import DBusAddress, new_method_call
from perdured.processes.systemd import call_manager, find_manager_socket
peer = DBusAddress("/", bus_name="org.freedesktop.systemd1", interface="org.freedesktop.DBus.Peer")
path = find_manager_socket(os.environ["XDG_RUNTIME_DIR"], 0)
print(len([call_manager(path, new_method_call(peer, "Ping")) for _ in range(300)]))
"""


def test_every_call_is_answered_however_the_handshake_is_cut(manager: UserManager) -> None:
    """A manager that had not read the end of the handshake took the call for a part of it, about every other time."""
    assert manager.run(sys.executable, "-c", CALLS_OFTEN) == "300"


def test_keepers_have_their_own_time_when_the_manager_goes_down_without_a_daemon(
    manager: UserManager, tmp_path: Path
) -> None:
    running = Running(manager, tmp_path / "state")
    running.start_job(seconds_to_save=LONG)
    manager.control("stop", "perdured")
    manager.control("exit")
    manager.wait_until_gone(ceiling=30)
    (end,) = running.exit_records()
    assert (end["exit_code"], end["stop_reason"], end["drained"]) == (75, "preempted", True)


def test_jobs_are_parked_when_the_manager_goes_down(manager: UserManager, tmp_path: Path) -> None:
    """The daemon asks for the time that they need, and no watchdog ends it while it waits."""
    running = Running(manager, tmp_path / "state")
    running.start_job(seconds_to_save=LONG)
    manager.control("exit")
    manager.wait_until_gone(ceiling=30)
    (job,) = running.load_jobs()
    assert job.phase.kind == "parked"
    assert job.attempts[-1].exit_code == 75
