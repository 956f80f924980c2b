"""The controller is asked by `scontrol`, here one that a test writes the answers of."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from perdured.notices.slurm import Slurm
from support.ears import Ear, listen, make_eyes


def write_program(folder: Path, text: str) -> None:
    """Renamed into place: a program that is open for writing cannot be run."""
    new = folder / "new"
    new.write_text(f"#!/bin/sh\n{text}\n")
    new.chmod(0o755)
    new.rename(folder / "scontrol")


def answer(folder: Path, ends_in: float, preempted: str = "None", partition: str = "exit 1") -> None:
    ends = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + ends_in))
    text = f"JobId=17 JobState=RUNNING Requeue=1 Restarts=0 TimeLimit=UNLIMITED EndTime={ends} PreemptTime={preempted}"
    about_job = f'[ "$TZ $*" = "UTC0 show job -o 17" ] && echo "{text} Partition=low" && exit'
    write_program(folder, f'{about_job}\n[ "$*" = "show partition -o low" ] && {partition}')


def play(folder: Path, scene: Callable[[Ear, Slurm], Awaitable[None]], haste: float = 50.0) -> None:
    async def inside() -> None:
        slurm = Slurm("17", make_eyes(haste), {"PATH": str(folder), "TZ": "Asia/Tokyo"})
        async with listen(slurm) as ear:
            await scene(ear, slurm)

    asyncio.run(inside())


@pytest.fixture(autouse=True)
def _path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_the_time_limit_is_a_notice_from_the_start_and_a_preemption_takes_its_place(tmp_path: Path) -> None:
    answer(tmp_path, 3600)

    async def scene(ear: Ear, slurm: Slurm) -> None:
        usual = await ear.wait_for_notice()
        assert usual.kind == "walltime"
        assert "queued again" in await ear.wait_for_state("works")
        answer(tmp_path, 20, preempted="2026-01-01T00:00:00")
        assert await slurm.look_now()
        taken = (await ear.wait(lambda report: [notice.kind for notice in report.notices] == ["preempt"])).notices[0]
        assert taken.deadline is not None
        assert usual.deadline is not None
        assert usual.deadline - taken.deadline > 3000

    play(tmp_path, scene, haste=0.01)  # not by the clock: because it was told to look now


def test_where_preemptions_leave_little_time_it_asks_more_often_and_says_so(tmp_path: Path) -> None:
    answer(tmp_path, 3600, partition='echo "PartitionName=low GraceTime=20 PreemptMode=REQUEUE"')

    async def scene(ear: Ear, slurm: Slurm) -> None:
        assert "asked each 5 s, as a preemption leaves 20 s" in await ear.wait_for_state("works")
        assert slurm.pause == 5.0
        answer(tmp_path, 20, preempted="2026-01-01T00:00:00")
        await ear.wait(lambda report: [notice.kind for notice in report.notices] == ["preempt"])

    play(tmp_path, scene)


def test_a_controller_that_says_nothing_of_the_partition_is_asked_as_usual_and_again(tmp_path: Path) -> None:
    answer(tmp_path, 3600)

    async def scene(ear: Ear, slurm: Slurm) -> None:
        assert "asked each 15 s; it is queued again" in await ear.wait_for_state("works")
        answer(tmp_path, 3600, partition='echo "PartitionName=low GraceTime=8 PreemptMode=CANCEL"')
        await ear.wait(lambda report: "asked each 3 s" in report.status.why)
        assert slurm.pause == 3.0

    play(tmp_path, scene)


def test_a_controller_that_is_away_withdraws_nothing(tmp_path: Path) -> None:
    answer(tmp_path, 3600)

    async def scene(ear: Ear, _slurm: Slurm) -> None:
        notice = await ear.wait_for_notice()
        write_program(tmp_path, "echo 'Unable to contact slurm controller' >&2; exit 1")
        assert "Unable to contact" in await ear.wait_for_state("blind")
        assert ear.reports[-1].notices[0].id == notice.id
        answer(tmp_path, 3600)
        await ear.wait_for_state("works")

    play(tmp_path, scene)


def test_a_machine_without_scontrol_is_blind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    async def scene(ear: Ear, slurm: Slurm) -> None:
        assert "cannot be run" in await ear.wait_for_state("blind")
        assert not await slurm.look_now()

    play(tmp_path, scene)
