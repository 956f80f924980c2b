"""The GPT: its data and schedule are right, and an interrupted run ends with the weights of one left alone."""

from __future__ import annotations

import runpy
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.examples import FOLDER, SIGNAL_AT_STEP, find_differences, load_weights, run_example
from support.training import Trainings

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.torch

SCRIPT = FOLDER / "gpt.py"
# Two epochs of 15 updates each, of a model with every part that the big one has.
TINY = (
    *("--megabytes", 0.018, "--epochs", 2, "--layers", 1, "--heads", 2, "--width", 16, "--context", 32, "--batch", 32),
    *("--warmup", 4, "--validate-every", 10, "--sample", 8, "--threads", 1, "--every", "4 steps", "--out", "final.pt"),
)


@pytest.fixture(scope="module")
def gpt() -> dict[str, Any]:
    """The names that the script defines."""
    return runpy.run_path(str(SCRIPT), run_name="gpt")


def test_the_text_is_python_always_the_same_and_as_long_as_asked(gpt: dict[str, Any]) -> None:
    text = gpt["load_text"](100_000)
    assert len(text) == 100_000
    assert b"\ndef " in bytes(text.tolist())
    assert text.equal(gpt["load_text"](100_000))
    assert text[:1000].equal(gpt["load_text"](1000))


def test_windows_cover_the_text_once_and_overlap_by_the_one_byte_to_foretell(gpt: dict[str, Any]) -> None:
    text = gpt["load_text"](1000)
    dataset = gpt["Windows"](text, 64)
    windows = [dataset[index].tolist() for index in range(len(dataset))]
    assert len(windows) == 999 // 64
    assert [byte for window in windows for byte in window[:-1]] == text[: len(windows) * 64].tolist()
    assert all(one[-1] == following[0] for one, following in pairwise(windows))


def test_the_learning_rate_warms_up_to_its_peak_and_falls_to_a_tenth(gpt: dict[str, Any]) -> None:
    rates = [gpt["relative_lr"](update, 10, 100) for update in range(101)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0.1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The final weights of a run that was left alone, started as a user does."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run_example("gpt", *TINY, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "step 30/30: validation loss" in done.stdout
    return load_weights(folder / "final.pt")


def train_to_the_end(trainings: Trainings, folder: Path, *options: object) -> tuple[str, dict[str, Tensor]]:
    """What it prints, and the weights that it ends with."""
    done = trainings.run(SCRIPT, *TINY, *options, cwd=folder)
    assert done.code == 0, done.output
    return done.output, load_weights(folder / "final.pt")


@pytest.mark.parametrize("step", [6, 21])
def test_killed_in_the_middle_of_an_epoch_it_ends_with_the_same_bits(
    step: int, undisturbed: dict[str, Tensor], trainings: Trainings, tmp_path: Path
) -> None:
    killed = trainings.run(SIGNAL_AT_STEP, step, "SIGKILL", SCRIPT, *TINY, cwd=tmp_path)
    assert killed.code == -9, killed.output
    output, weights = train_to_the_end(trainings, tmp_path)
    assert f"resumed at step {step // 4 * 4}\n" in output
    assert find_differences(weights, undisturbed) == []


@pytest.mark.parametrize("step", [10, 17])
def test_told_to_stop_it_saves_exits_with_75_and_loses_no_step(
    step: int, undisturbed: dict[str, Tensor], trainings: Trainings, tmp_path: Path
) -> None:
    """At step 10 the signal comes just before a validation."""
    stopped = trainings.run(SIGNAL_AT_STEP, step, "SIGTERM", SCRIPT, *TINY, cwd=tmp_path)
    assert stopped.code == 75, stopped.output
    output, weights = train_to_the_end(trainings, tmp_path)
    assert f"resumed at step {step}\n" in output
    assert find_differences(weights, undisturbed) == []


def test_validation_disturbs_nothing(undisturbed: dict[str, Tensor], trainings: Trainings, tmp_path: Path) -> None:
    _, weights = train_to_the_end(trainings, tmp_path, "--validate-every", 1000)
    assert find_differences(weights, undisturbed) == []


def test_dropout_is_on(undisturbed: dict[str, Tensor], trainings: Trainings, tmp_path: Path) -> None:
    """Or else the tests above would show less than they say."""
    _, weights = train_to_the_end(trainings, tmp_path, "--dropout", 0)
    assert len(find_differences(weights, undisturbed)) == len(undisturbed)


def test_a_finished_run_started_again_changes_nothing(
    undisturbed: dict[str, Tensor], trainings: Trainings, tmp_path: Path
) -> None:
    train_to_the_end(trainings, tmp_path)
    output, weights = train_to_the_end(trainings, tmp_path)
    assert "resumed at step 30" in output
    assert find_differences(weights, undisturbed) == []
