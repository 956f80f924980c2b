"""A job that is to stand still, from its keeper's side: who is told, for how long, and what a daemon hears of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perdured.core.observation import Stand
from perdured.keeper.loop import read_clock
from perdured.processes import start_keeper
from support.processes import Daemon, Peer, make_script, run, wait_for_output

Connect = Callable[[], Peer]
JOB = {"type": "hello", "role": "job", "version": 1}


@pytest.fixture
def running(directory: Path) -> Path:
    run(start_keeper(make_script(directory, "say('up')", "stay()")))
    wait_for_output(directory)
    return directory


def test_the_job_is_told_to_stand_still_and_to_go_on_and_the_daemon_hears_that_it_does(
    running: Path, connect: Connect
) -> None:
    async def talk() -> None:
        daemon = await Daemon().connect(running)
        job = connect()
        job.say(**JOB)
        job.say(type="can_park")
        await daemon.until(lambda: daemon.last.can_park)
        daemon.link.ask_to_park(30.0)
        asked = job.hear()
        assert asked is not None
        assert asked["type"] == "park"
        assert isinstance(asked["deadline"], float)
        assert read_clock() < asked["deadline"] <= read_clock() + 30.0
        await daemon.until(lambda: daemon.last.is_asked_to_park)
        job.say(type="parked", step=12, saved=True)
        await daemon.until(lambda: daemon.last.parked == Stand(step=12, saved=True))
        daemon.link.let_go_on()
        assert job.hear() == {"type": "go_on"}
        job.say(type="going_on")
        await daemon.until(lambda: daemon.last.parked is None and not daemon.last.is_asked_to_park)
        daemon.link.close()

    run(talk())


def test_a_process_that_comes_later_is_told_as_well_until_it_is_taken_back(running: Path, connect: Connect) -> None:
    """A notice that came while the script still imported torch."""

    async def talk() -> None:
        daemon = await Daemon().connect(running)
        daemon.link.ask_to_park(30.0)
        await daemon.until(lambda: daemon.last.is_asked_to_park)
        for job in (connect(), connect()):
            job.say(**JOB)
            assert (job.hear() or {})["type"] == "park"
        daemon.link.let_go_on()
        await daemon.until(lambda: not daemon.last.is_asked_to_park)
        late = connect()
        late.say(**JOB)
        late.say(type="progress", step=1)
        await daemon.until(lambda: daemon.last.step == 1)
        daemon.link.ask_save()
        assert (late.hear() or {})["type"] == "save"
        daemon.link.close()

    run(talk())


def test_a_process_that_has_gone_stands_still_no_more(running: Path, connect: Connect) -> None:
    async def talk() -> None:
        daemon = await Daemon().connect(running)
        job = connect()
        job.say(**JOB)
        job.say(type="can_park")
        job.say(type="parked", step=12, saved=True)
        await daemon.until(lambda: daemon.last.parked is not None)
        job.close()
        await daemon.until(lambda: daemon.last.parked is None and not daemon.last.can_park)
        daemon.link.close()

    run(talk())
