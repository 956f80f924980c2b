"""A leased attempt ends in time by its keeper alone: without a daemon, a network, or anybody's word."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from perdured.keeper import records
from perdured.keeper.loop import read_clock
from perdured.keeper.records import Leash, parse_leash
from perdured.processes import start_keeper
from support.processes import Daemon, make_script, read_output, run, wait_for_end, wait_for_output, wait_until

SAVES = "signal.signal(15, lambda *_: (say('saving'), os._exit(75)))"
DEAF = "signal.signal(15, lambda *_: say('heard'))"


def _start(directory: Path, leash: Leash | None, *lines: str) -> None:
    async def start() -> None:
        await start_keeper(replace(make_script(directory, *lines, grace=60.0), leash=leash))

    run(start())


def test_an_attempt_is_asked_to_save_before_its_lease_runs_out(directory: Path) -> None:
    """The daemon that started it hears and says nothing any more."""
    _start(directory, Leash(read_clock() + 30.0, grace=27.0), SAVES, "say('up')", "stay()")
    exit = wait_for_end(directory)
    assert (exit.exit_code, exit.stop_reason) == (75, "lease")
    assert read_output(directory)[-1] == "saving"


def test_what_does_not_end_is_killed_when_the_lease_runs_out(directory: Path) -> None:
    until = read_clock() + 2.0
    _start(directory, Leash(until, grace=1.0), DEAF, "say('up')", "stay()")
    exit = wait_for_end(directory)
    assert (exit.reason, exit.stop_reason) == ("timed_out", "lease")
    record = records.load_exit(directory)
    assert record is not None
    assert record.at_boot >= until


def test_a_lease_that_is_renewed_moves_the_time_on(directory: Path) -> None:
    async def renew() -> None:
        first = Leash(read_clock() + 4.0, grace=1.0)
        await start_keeper(replace(make_script(directory, SAVES, "say('up')", "stay()"), leash=first))
        await asyncio.to_thread(wait_for_output, directory, 1)
        daemon = await Daemon().connect(directory)
        daemon.link.hold_until(Leash(first.until + 60.0, grace=1.0))
        daemon.link.hold_until(Leash(first.until - 2.0, grace=1.0))
        await asyncio.to_thread(wait_until, lambda: read_clock() > first.until, "the first time to pass")
        assert records.load_exit(directory) is None, "neither the time that was moved, nor one that is taken back"
        daemon.link.ask_stop("stop", 10.0)
        await daemon.until_gone()

    run(renew())
    assert wait_for_end(directory).stop_reason == "stop"


def test_an_attempt_without_a_lease_is_left_alone_until_it_has_one(directory: Path) -> None:
    """One that an older daemon has started is leashed by the first word of a newer one."""

    async def leash() -> None:
        await start_keeper(make_script(directory, SAVES, "say('up')", "stay()"))
        await asyncio.to_thread(wait_for_output, directory, 1)
        daemon = await Daemon().connect(directory)
        daemon.link.hold_until(Leash(read_clock(), grace=0.0))
        await daemon.until_gone()

    run(leash())
    assert wait_for_end(directory).stop_reason == "lease"


@pytest.mark.parametrize("until", [float("nan"), float("inf"), "soon", None])
def test_a_lease_that_makes_no_sense_is_refused(until: object) -> None:
    with pytest.raises(ValueError, match="until"):
        parse_leash({"until": until, "grace": 1.0})
