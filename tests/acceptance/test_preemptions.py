"""Machines that are taken away at random moments: the GPT ends with the weights of one that was left alone.

A moment may lie in the start of the interpreter, in the restore, in a step, an evaluation or a save. Each preemption
leaves 120, 30, 10 or 2 seconds, and the power is cut at the deadline or soon after the job stood still. Where the
planner was sure, no step is lost; and whatever was committed before stays, whole, as the newest or behind a newer one.

`TEST_PREEMPTIONS=200` asks for as many; `TEST_SEED=…` repeats a run.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

import pytest

from perdured.contract.checkpoint import list_checkpoints, verify_checkpoint
from perdured.views import JobView
from support.examples import FOLDER, find_differences, load_weights, run_example
from support.machines import Machine, machine_at
from support.seeds import make_random

if TYPE_CHECKING:
    from torch import Tensor

WANTED = int(os.environ.get("TEST_PREEMPTIONS", "12"))
pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.timeout(300 + 60 * WANTED)]

CEILING = 180.0
"""Seconds for whatever the machine is busy with: an import of torch may take half a minute."""
LEFT = (120.0, 30.0, 10.0, 2.0)
OPTIONS = (
    *("--megabytes", 0.3, "--epochs", 1, "--layers", 1, "--heads", 2, "--width", 32, "--context", 32, "--batch", 32),
    *("--validate-every", 7, "--sample", 8, "--threads", 1, "--every", "25 steps", "--out", "final.pt"),
)
SPEC = '[checkpoint]\ndir = "checkpoints"\n[restart]\nbackoff = "10ms..10ms"\n[stop]\ngrace = "20s"\n'


class Preemption(NamedTuple):
    left: float
    sureness: str
    moment: float
    """Seconds after the machine's start, or after the job has made these steps."""
    steps: int
    waits: float
    """Seconds that it stands still before the power is cut."""


class Outcome(NamedTuple):
    preemption: Preemption
    is_sure: bool
    """The planner said that it fits."""
    reached: int
    """The last step that was seen."""
    resumed_at: int
    state: str
    """Of the job when the notice came."""


def draw_preemption(random: Random) -> Preemption:
    """One of two minutes is known no better than as a ceiling, or the test would wait for it."""
    left = random.choice(LEFT)
    sureness = "ceiling" if left > 60 else random.choice(["exact", "ceiling"])
    moment, steps = random.choice([(random.uniform(0.0, 5.0), 0), (random.uniform(0.0, 0.1), random.randrange(1, 30))])
    return Preemption(left, sureness, moment, steps, random.uniform(0.0, 0.3))


class Last(NamedTuple):
    shown: JobView
    """Just before the power was cut."""
    state: str
    """When the notice came."""


def live(machine: Machine, job: str, preemption: Preemption) -> Last | None:
    """Until the power is cut. None if the job was done first."""
    before = machine.wait_for(job, lambda shown: shown.state not in ("queued", "waiting"), "a start", CEILING)
    goal = (before.checkpoint.step if before.checkpoint is not None else 0) + preemption.steps
    if preemption.steps:
        machine.wait_for(
            job, lambda shown: shown.state == "succeeded" or (shown.step or 0) >= goal, f"step {goal}", CEILING
        )
    machine.sleep(preemption.moment)
    if (met := machine.show(job)).state == "succeeded":
        return None
    deadline = machine.warn(preemption.left, sureness=preemption.sureness).deadline
    assert deadline is not None
    while machine.clock() < deadline and (shown := machine.show(job)).state not in ("parked", "succeeded"):
        before = shown if shown.notice is not None else before
        machine.sleep(0.01)
    machine.sleep(min(preemption.waits, max(deadline - machine.clock(), 0.0)))
    last = machine.show(job)
    machine.cut_power()
    machine.begin_new_boot()
    shown = last if last.notice is not None else before.model_copy(update={"step": last.step})
    return Last(shown, met.state)


def train_through(root: Path, random: Random, outcomes: list[Outcome]) -> Path:
    """One training, from its submit to its end, over as many machines as it takes."""
    root.mkdir()
    command = json.dumps([sys.executable, str(FOLDER / "gpt.py"), *map(str, OPTIONS), "--dir", "checkpoints"])
    state, job, pending, committed = root / "s", "", None, 0
    while True:
        with machine_at(state) as machine:
            job = job or machine.submit(f"command = {command}\n{SPEC}", root)
            if pending is not None:
                outcomes.append(note_outcome(machine, job, *pending))
            if len(outcomes) >= WANTED:
                machine.wait_for_state(job, "succeeded", ceiling=CEILING)
                return root / "final.pt"
            preemption = draw_preemption(random)
            last = live(machine, job, preemption)
            if last is None:
                return root / "final.pt"
            pending = (preemption, last)
        committed = check_checkpoints(root / "checkpoints", committed)


def check_checkpoints(folder: Path, before: int) -> int:
    """The newest one's step. All are whole, and none is older than what there was before this preemption."""
    found = list_checkpoints(folder)
    assert [listed.path for listed in found if not verify_checkpoint(listed.path).is_valid] == []
    newest = max((listed.step for listed in found), default=0)
    assert newest >= before
    return newest


def note_outcome(machine: Machine, job: str, preemption: Preemption, last: Last) -> Outcome:
    """What the next machine goes on from."""
    shown = machine.wait_for(job, lambda shown: shown.state in ("running", "succeeded"), "the next start", CEILING)
    attempt = shown.attempts[-1]
    is_sure = last.shown.notice is not None and last.shown.notice.is_sure
    resumed_at = attempt.resumed_from_step or 0
    return Outcome(preemption, is_sure, last.shown.step or 0, resumed_at, last.state)


def say_outcomes(outcomes: list[Outcome], trainings: int) -> str:
    lost = [outcome for outcome in outcomes if outcome.resumed_at < outcome.reached]
    parts = [f"{len(outcomes)} preemptions in {trainings} trainings", f"with a loss: {len(lost)}"]
    for left in LEFT:
        of = [outcome for outcome in outcomes if outcome.preemption.left == left]
        parts.append(
            f"{left:g} s: {len(of)}, sure {sum(o.is_sure for o in of)}, with a loss {sum(o in lost for o in of)}"
        )
    states = Counter(outcome.state for outcome in outcomes)
    return "; ".join([*parts, *(f"met {state}: {count}" for state, count in sorted(states.items()))])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run_example("gpt", *OPTIONS, "--dir", "checkpoints", cwd=folder, ceiling=CEILING)
    assert done.returncode == 0, done.stderr
    return load_weights(folder / "final.pt")


def test_preempted_at_random_moments_it_ends_with_the_same_weights_and_loses_nothing_that_fitted(
    undisturbed: dict[str, Tensor], tmp_path: Path
) -> None:
    random, outcomes, trainings = make_random(), list[Outcome](), 0
    while len(outcomes) < WANTED:
        trainings += 1
        final = train_through(tmp_path / f"t{trainings}", random, outcomes)
        assert find_differences(load_weights(final), undisturbed) == []
    sys.stdout.write(f"{say_outcomes(outcomes, trainings)}\n")
    sure = [outcome for outcome in outcomes if outcome.is_sure]
    assert [outcome for outcome in sure if outcome.resumed_at < outcome.reached] == []
    assert sure, "else nothing was shown"
