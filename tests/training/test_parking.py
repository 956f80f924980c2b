"""A run that is told to stand still: it saves, costs nothing, and goes on as if nothing had been."""

from __future__ import annotations

import contextlib
import json
import signal
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from perdured.contract import environment, messages
from perdured.contract.checkpoint import list_checkpoints, verify_checkpoint
from support.keepers import Listener, listening
from support.processes import wait_until
from support.training import Life, Trainings

pytestmark = pytest.mark.torch

EXACT = Path(__file__).parents[1] / "support" / "exact_job.py"
HEAD = """
import os, time
import perdure
from support.toy import Counter
def say(text): print(text, flush=True)
counter = Counter()
"""
ENDLESS = """
with perdure.Run(counter=counter, every="1000000 steps") as run:
    for item in run.batches(range(10**9)):
        counter.learn(item)
        time.sleep(0.005)
        run.report()
"""


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Listener]:
    with listening(tmp_path / "keeper.sock") as listener:
        yield listener


def start(trainings: Trainings, folder: Path, body: str, keeper: Listener) -> Life:
    script = folder / "script.py"
    script.write_text(HEAD + textwrap.dedent(body))
    env = {environment.CHANNEL: str(keeper.path), environment.CHECKPOINT_MEMORY: "0"}
    return trainings.start(script, cwd=folder, env={"PYTHONPATH": "", **env})


def say(keeper: Listener, kind: str, **more: object) -> None:
    keeper.say(json.dumps({"type": kind, **more}).encode() + b"\n")


def saved_steps(folder: Path) -> list[int]:
    found = list_checkpoints(folder / "checkpoints")
    assert all(verify_checkpoint(listed.path).is_valid for listed in found)
    return sorted(listed.step for listed in found)


def _has_parked_or_ended(keeper: Listener, life: Life, before: int) -> bool:
    return len(keeper.of_type(messages.PARKED)) > before or life.wait(0.0) is not None


def read_cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_it_saves_stands_still_without_using_the_processor_and_goes_on(
    keeper: Listener, trainings: Trainings, tmp_path: Path
) -> None:
    life = start(trainings, tmp_path, ENDLESS, keeper)
    keeper.wait_for(messages.CAN_PARK)
    keeper.wait_for(messages.PROGRESS)
    say(keeper, "park")
    (parked,) = keeper.wait_for(messages.PARKED)
    assert parked["saved"] is True
    assert saved_steps(tmp_path) == [parked["step"]]
    before, told = read_cpu_seconds(life.pid), len(keeper.of_type(messages.PROGRESS))
    signal.sigtimedwait([], 1.5)
    assert read_cpu_seconds(life.pid) - before <= 0.05
    assert len(keeper.of_type(messages.PROGRESS)) == told, "not one step beyond the one at which it stands"
    assert keeper.of_type(messages.PROGRESS)[-1]["step"] <= parked["step"]
    say(keeper, "go_on")
    keeper.wait_for(messages.GOING_ON)
    keeper.wait_for(messages.PROGRESS, told + 2)
    life.send(signal.SIGKILL)
    assert life.end().code == -signal.SIGKILL


@pytest.mark.parametrize("form", ["nested", "flat"])
def test_parked_again_and_again_it_ends_with_the_bits_of_a_run_that_never_was(
    form: str, keeper: Listener, trainings: Trainings, tmp_path: Path
) -> None:
    """In the middle of an epoch, in its evaluations, between epochs: wherever it happens to be."""
    alone, disturbed = tmp_path / "alone", tmp_path / "disturbed"
    for folder in (alone, disturbed):
        folder.mkdir()
    options = ("--form", form, "--out", "final.pt", "--every", "1000 steps")
    assert trainings.run(EXACT, *options, cwd=alone).code == 0
    env = {environment.CHANNEL: str(keeper.path), environment.CHECKPOINT_MEMORY: "0"}
    life = trainings.start(EXACT, *options, "--pause", "0.01", cwd=disturbed, env=env)
    keeper.wait_for(messages.CAN_PARK)
    parked = 0
    with contextlib.suppress(BrokenPipeError):  # it came to its end
        while life.wait(0.05) is None:
            say(keeper, "park")
            wait_until(partial(_has_parked_or_ended, keeper, life, parked))
            parked = len(keeper.of_type(messages.PARKED))
            say(keeper, "go_on")
    assert life.end().code == 0, life.output
    assert parked >= 5
    assert (disturbed / "final.pt").read_bytes() == (alone / "final.pt").read_bytes()


def test_told_to_stop_while_it_stands_it_ends_with_75_and_does_not_save_again(
    keeper: Listener, trainings: Trainings, tmp_path: Path
) -> None:
    life = start(trainings, tmp_path, ENDLESS, keeper)
    keeper.wait_for(messages.PROGRESS)
    say(keeper, "park")
    (parked,) = keeper.wait_for(messages.PARKED)
    life.send(signal.SIGTERM)
    assert life.end().code == 75, life.output
    assert saved_steps(tmp_path) == [parked["step"]]


def test_when_its_keeper_dies_it_goes_on_since_nobody_else_could_let_it(
    keeper: Listener, trainings: Trainings, tmp_path: Path
) -> None:
    body = ENDLESS.replace("10**9", "1000").replace("run.report()", "run.report()\n        print(run.step, flush=True)")
    life = start(trainings, tmp_path, body, keeper)
    keeper.wait_for(messages.PROGRESS)
    say(keeper, "park")
    (parked,) = keeper.wait_for(messages.PARKED)
    keeper.die()
    life.wait_for(f"\n{parked['step'] + 2}\n")
    life.send(signal.SIGKILL)
    assert life.end().code == -signal.SIGKILL


def test_a_save_that_cannot_be_in_time_is_not_begun_and_it_stands_still_all_the_same(
    keeper: Listener, trainings: Trainings, tmp_path: Path
) -> None:
    body = ENDLESS.replace("for item", "run.save()\n    for item")
    life = start(trainings, tmp_path, body, keeper)
    keeper.wait_for(messages.PROGRESS)
    say(keeper, "park", deadline=0.5)  # seconds since boot: long past
    (parked,) = keeper.wait_for(messages.PARKED)
    assert parked["saved"] is False
    assert saved_steps(tmp_path) == [0]
    assert "was not begun" in life.output
    life.send(signal.SIGKILL)
    assert life.end().code == -signal.SIGKILL


@pytest.mark.parametrize("place", ["preparation", "evaluation"])
def test_a_safe_point_outside_the_steps_is_one_to_stand_still_at(
    place: str, keeper: Listener, trainings: Trainings, tmp_path: Path
) -> None:
    """What it prepares, or evaluates, goes on where it stands."""
    body = """
    def work(name):
        for part in range(400):
            time.sleep(0.005)
            run.safe_point()
            say(f"{name} {part}")
    with perdure.Run(counter=counter) as run:
        if PLACE == "preparation": work("preparation")
        for epoch in run.epochs(1):
            for item in run.batches([1, 2, 3]):
                counter.learn(item)
                run.report()
            if PLACE == "evaluation": work("evaluation")
    say(f"done {counter.items}")
    """
    life = start(trainings, tmp_path, body.replace("PLACE", repr(place)), keeper)
    life.wait_for(f"{place} 3\n")
    say(keeper, "park")
    (parked,) = keeper.wait_for(messages.PARKED)
    assert (parked["step"], parked["saved"]) == (0 if place == "preparation" else 3, True)
    say(keeper, "go_on")
    ended = life.end()
    assert ended.code == 0, ended.output
    assert ended.output.count(f"{place} ") == 400, "nothing is done twice"
    assert "done [1, 2, 3]" in ended.output
