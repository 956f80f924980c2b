"""A machine that may be taken away: what was saved, what stands still, what goes on, and what is not started."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.contract.checkpoint import list_checkpoints, verify_checkpoint
from perdured.keeper.identity import read_boot_id
from perdured.views import JobView
from support.counting import WALK
from support.daemons import COUNTER
from support.machines import Machine, machine_at
from support.notices import make_notice

SCRIPT = (
    WALK
    + """
pause, evaluates = float(sys.argv[1]), len(sys.argv) > 2
with perdure.Run(walk=walk, every="1000000 steps") as run:
    for epoch in run.epochs(4):
        for item in run.batches(range(60)):
            walk.place = walk.place * 0.9 + random.random() * item
            time.sleep(pause)
            run.report()
        for part in range(20):
            time.sleep(pause)
            random.random()
            run.safe_point()
with open("final", "w") as file:
    file.write(f"{run.step} {walk.place!r} {random.random()!r}")
"""
)

SAVES = """
import os, sys, time
import perdure
state = perdure.load("a.pth", default={"step": 0})
for step in range(state["step"] + 1, 100_000):
    time.sleep(0.02)
    perdure.save({"step": step}, "a.pth")
    with open("saved", "a") as file: print(step, file=file)
    if os.path.exists("enough"): break
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with machine_at(tmp_path / "state") as machine:
        yield machine


def submit(machine: Machine, work: Path, *command: str, extra: str = "") -> str:
    work.mkdir(exist_ok=True)
    return machine.submit(f"command = {json.dumps([sys.executable, *command])}\n{extra}", work)


def train(machine: Machine, work: Path, pause: str) -> str:
    work.mkdir()
    (work / "train.py").write_text(SCRIPT)
    return submit(machine, work, "train.py", pause)


def wait_for_step(machine: Machine, job: str, step: int) -> JobView:
    return machine.wait_for(job, lambda shown: (shown.step or 0) >= step, f"step {step}")


def read_final(machine: Machine, job: str, work: Path) -> str:
    machine.wait_for_state(job, "succeeded", ceiling=60.0)
    return (work / "final").read_text()


def newest_step(work: Path) -> int:
    newest = list_checkpoints(work / "checkpoints")[0]
    assert verify_checkpoint(newest.path).is_valid
    return newest.step


def test_a_notice_that_is_withdrawn_changes_nothing_of_what_comes_out(machine: Machine, tmp_path: Path) -> None:
    """Parked several times on its way, it ends as one that was left alone; in the same attempt."""
    alone, noticed = tmp_path / "alone", tmp_path / "noticed"
    quiet, job = train(machine, alone, "0"), train(machine, noticed, "0.01")
    expected = read_final(machine, quiet, alone)
    for step in (1, 40, 100, 160):
        wait_for_step(machine, job, step)
        machine.warn(30.0)
        parked = machine.wait_for_state(job, "parked")
        assert "saved" in parked.reason
        assert newest_step(noticed) == parked.step
        assert parked.notice is not None
        machine.withdraw()
        machine.wait_for_state(job, "running")
    assert read_final(machine, job, noticed) == expected
    shown = machine.show(job)
    assert (len(shown.attempts), shown.notice) == (1, None)


@pytest.mark.parametrize("is_same_boot", [True, False])
def test_the_machine_is_taken_and_the_next_goes_on_where_it_stood(
    is_same_boot: bool, machine: Machine, tmp_path: Path
) -> None:
    """The fence holds as long as the boot: everything of the job may have been killed, and its machine not yet."""
    alone, taken = tmp_path / "alone", tmp_path / "taken"
    quiet, job = train(machine, alone, "0"), train(machine, taken, "0.01")
    expected = read_final(machine, quiet, alone)
    wait_for_step(machine, job, 50)
    machine.warn(30.0)
    stood_at = machine.wait_for_state(job, "parked").step
    machine.cut_power()
    if not is_same_boot:
        machine.begin_new_boot()
    with machine_at(machine.state.root) as later:
        if is_same_boot:
            held = later.wait_for(job, lambda shown: "nothing is started here" in shown.reason, "the fence to hold")
            assert (held.state, len(held.attempts)) == ("waiting", 1)
            later.withdraw()
        later.wait_for(job, lambda shown: len(shown.attempts) == 2, "the next attempt")
        assert read_final(later, job, taken) == expected
        assert later.show(job).attempts[-1].resumed_from_step == stood_at


def test_with_time_enough_it_trains_on_after_a_save_and_saves_again_just_in_time(
    machine: Machine, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    job = train(machine, work, "0.05")
    wait_for_step(machine, job, 3)
    machine.warn(30.0)
    machine.wait_for_state(job, "parked")  # which measures what a save takes
    machine.withdraw()
    machine.wait_for_state(job, "running")
    before = newest_step(work)
    machine.warn(38.0)
    shown = machine.wait_for(job, lambda shown: shown.notice and shown.notice.answer == "save_late", "a late save")
    assert shown.notice is not None
    assert "saves at once, trains on" in shown.notice.why
    saved = machine.wait_for(job, lambda shown: shown.checkpoint and shown.checkpoint.step > before, "a save at once")
    assert saved.state == "running"
    machine.warn(4.0)  # the deadline has moved: now it is time
    parked = machine.wait_for_state(job, "parked")
    assert newest_step(work) == parked.step
    assert parked.checkpoint is not None
    machine.withdraw()
    machine.ask(job, "stop")
    machine.wait_for_state(job, "stopped")


def test_a_script_that_calls_save_itself_stands_still_after_its_next_save_and_goes_on(
    machine: Machine, tmp_path: Path
) -> None:
    """And the time in which it stands is in the ledger as waiting, not as a save nor as training."""
    pytest.importorskip("torch")
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text(SAVES)
    job = submit(machine, work, "train.py")
    wait_for_step(machine, job, 3)
    machine.warn(200.0, sureness="ceiling")  # at once, as nobody knows when
    parked = machine.wait_for_state(job, "parked")
    machine.sleep(1.0)
    stood = machine.show(job)
    assert stood.ledger.waiting - parked.ledger.waiting >= 0.9
    assert stood.ledger.useful - parked.ledger.useful <= 0.1
    machine.withdraw()
    assert machine.wait_for_state(job, "running").attempts[-1].pid == parked.attempts[-1].pid
    wait_for_step(machine, job, (parked.step or 0) + 3)
    (work / "enough").touch()
    assert len(machine.wait_for_state(job, "succeeded").attempts) == 1
    saved = [int(line) for line in (work / "saved").read_text().split()]
    assert saved == list(range(1, len(saved) + 1)), "nothing is done twice, and nothing left out"


@pytest.mark.slow
def test_what_stood_still_for_longer_than_its_output_may_be_silent_is_no_hang_when_it_goes_on(
    machine: Machine, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "train.py").write_text(SCRIPT.replace("run.report()", "print(run.step, flush=True); run.report()"))
    job = submit(machine, work, "train.py", "2.0", extra='[health]\noutput_after = "3s"')
    wait_for_step(machine, job, 1)
    machine.warn(60.0)
    parked = machine.wait_for_state(job, "parked")
    machine.sleep(5.0)
    machine.withdraw()
    assert len(wait_for_step(machine, job, (parked.step or 0) + 1).attempts) == 1
    machine.ask(job, "stop")
    assert machine.wait_for_state(job, "stopped").attempts[-1].cause == "stopped"


def test_several_notices_are_one_save(machine: Machine, tmp_path: Path) -> None:
    """They come one after the other, of several sources, with other deadlines, and one of them is withdrawn."""
    work = tmp_path / "work"
    job = train(machine, work, "0.05")
    wait_for_step(machine, job, 3)
    lefts = {"aws": 200.0, "folder": 150.0, "systemd": 250.0, "signal": 120.0}
    notices = [
        make_notice(left, id=source, source=source, sureness="ceiling", at=machine.clock(), boot_id=read_boot_id())
        for source, left in lefts.items()
    ]
    for count in range(1, len(notices) + 1):
        machine.tell(notices[:count])
    parked = machine.wait_for_state(job, "parked")
    machine.tell(notices[1:])
    machine.sleep(0.5)
    assert machine.show(job).state == "parked"
    assert [listed.step for listed in list_checkpoints(work / "checkpoints")] == [parked.step]
    machine.withdraw()
    machine.wait_for_state(job, "running")
    machine.ask(job, "stop")
    machine.wait_for_state(job, "stopped")


def test_a_program_that_cannot_stand_still_ends_and_starts_again_when_the_notice_is_withdrawn(
    machine: Machine, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    job = submit(machine, work, str(COUNTER), "100000", "--pause", "0.01")
    wait_for_step(machine, job, 3)
    machine.warn(30.0)
    parked = machine.wait_for_state(job, "parked")
    assert parked.attempts[-1].cause == "preempted"
    machine.withdraw()
    again = machine.wait_for(
        job, lambda shown: len(shown.attempts) == 2 and shown.state == "running", "its next attempt"
    )
    assert again.attempts[-1].resumed_from_step is not None
    machine.ask(job, "stop")
    machine.wait_for_state(job, "stopped")


def test_what_is_submitted_while_the_machine_is_about_to_go_waits(machine: Machine, tmp_path: Path) -> None:
    machine.warn(60.0)
    work = tmp_path / "work"
    job = submit(machine, work, "-c", "print('hello')")
    held = machine.wait_for(job, lambda shown: "nothing is started here" in shown.reason, "the fence")
    assert (held.state, held.attempts) == ("queued", [])
    machine.withdraw()
    machine.wait_for_state(job, "succeeded")


def test_a_daemon_that_dies_leaves_the_job_standing_and_the_next_lets_it_go_on(
    machine: Machine, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    job = train(machine, work, "0.01")
    wait_for_step(machine, job, 3)
    machine.warn(60.0)
    pid = machine.wait_for_state(job, "parked").attempts[-1].pid
    machine.close()
    with machine_at(machine.state.root) as later:
        still = later.wait_for_state(job, "parked")
        assert still.attempts[-1].pid == pid
        later.withdraw()
        later.wait_for_state(job, "running", "succeeded")
        assert read_final(later, job, work)
        assert len(later.show(job).attempts) == 1
