"""The digits: they are learned, and batch norm's buffers, dropout and the data's order survive a kill."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.examples import FOLDER, SIGNAL_AT_STEP, find_differences, load_weights
from support.training import Trainings

pytestmark = pytest.mark.torch

SCRIPT = FOLDER / "digits.py"
TINY = ("--epochs", 2, "--channels", 8, "--every", "5 steps", "--out", "final.pt")
"""An epoch has 23 updates."""


def test_killed_in_an_epoch_it_ends_with_the_same_bits_as_one_left_alone(trainings: Trainings, tmp_path: Path) -> None:
    """Buffers included; and with worker processes as without."""
    (tmp_path / "alone").mkdir()
    alone = trainings.run(SCRIPT, *TINY, cwd=tmp_path / "alone")
    accuracy = re.search(r"done: accuracy (\S+)", alone.output)
    assert accuracy is not None, alone.output
    assert float(accuracy[1]) > 0.8

    killed = trainings.run(SIGNAL_AT_STEP, 32, "SIGKILL", SCRIPT, *TINY, "--workers", 2, cwd=tmp_path)
    assert killed.code == -9, killed.output
    rest = trainings.run(SCRIPT, *TINY, "--workers", 2, cwd=tmp_path)
    assert rest.code == 0, rest.output
    assert "resumed at step 30, in epoch 1" in rest.output
    weights = load_weights(tmp_path / "final.pt")
    assert any(name.endswith("running_var") for name in weights)
    assert find_differences(weights, load_weights(tmp_path / "alone" / "final.pt")) == []
