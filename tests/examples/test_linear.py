"""Linear regression, by hand and with perdure.save: killed between two epochs, it ends as if it had been left alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from perdured.keeper.records import load_run
from support.examples import FOLDER
from support.training import Trainings

pytestmark = pytest.mark.torch

BOTH = ("linear_by_hand", "linear")
EPOCHS = ("--epochs", 8)


def parse_losses(output: str) -> dict[int, str]:
    return {int(epoch): loss for epoch, loss in re.findall(r"epoch (\d+): loss (\S+)", output)}


@pytest.mark.parametrize("name", BOTH)
def test_killed_and_resumed_it_has_the_losses_of_an_undisturbed_run(
    name: str, trainings: Trainings, tmp_path: Path
) -> None:
    script = FOLDER / f"{name}.py"
    alone = trainings.run(script, *EPOCHS, "--path", "alone.pth", cwd=tmp_path)
    assert alone.code == 0, alone.output
    expected = parse_losses(alone.output)
    assert float(expected[7]) < float(expected[0]) / 2

    disturbed = trainings.start(script, *EPOCHS, "--path", "checkpoint.pth", "--pause", 0.2, cwd=tmp_path)
    disturbed.wait_for("epoch 2:")  # so its checkpoint is saved, and the pause after it has begun
    disturbed.send(signal.SIGKILL)
    assert disturbed.end().code == -signal.SIGKILL

    resume = ("--resume", "checkpoint.pth") if name == "linear_by_hand" else ("--path", "checkpoint.pth")
    rest = trainings.run(script, *EPOCHS, *resume, cwd=tmp_path)
    assert rest.code == 0, rest.output
    found = parse_losses(rest.output)
    assert 0 < len(found) < len(expected)
    assert found.items() <= expected.items()


@pytest.mark.parametrize("name", BOTH)
def test_a_checkpoint_has_the_four_entries_that_people_expect(name: str, trainings: Trainings, tmp_path: Path) -> None:
    import torch

    done = trainings.run(FOLDER / f"{name}.py", "--epochs", 1, "--path", "checkpoint.pth", cwd=tmp_path)
    assert done.code == 0, done.output
    saved = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
    assert set(saved) == {"epoch", "model_state_dict", "optimizer_state_dict", "loss"}
    assert saved["epoch"] == 0
    assert saved["model_state_dict"]["weight"].shape == (1, 10)


@pytest.mark.slow
def test_supervised_the_script_by_hand_is_resumed_unchanged_and_ends_as_if_left_alone(
    trainings: Trainings, tmp_path: Path
) -> None:
    """`perdure run` with the example's own spec; the script is killed once it has saved a few epochs."""
    alone = trainings.run(FOLDER / "linear_by_hand.py", "--path", "alone.pth", cwd=tmp_path)
    for name in ("linear_by_hand.py", "linear_by_hand.toml"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    state = tmp_path / "state"
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    argv = ["perdure", "--state-dir", str(state), "run", "linear_by_hand.toml"]
    output = ""
    with subprocess.Popen(argv, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if line.startswith("epoch 5:") and "resumed" not in output:
                os.kill(_find_script(state), signal.SIGKILL)
            output += line
    assert run.returncode == 0
    assert output.count("resumed after epoch") == 1
    assert parse_losses(output) == parse_losses(alone.output)


def _find_script(state: Path) -> int:
    (attempt,) = state.glob("**/attempts/1")
    record = load_run(attempt)
    assert record is not None
    return record.leader.pid
