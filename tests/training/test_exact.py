"""The promise itself: a run that was killed at random moments ends with the same bits as one left alone.

`support/exact_job.py` is the training; everything it ends with is compared: weights, running averages, optimizer,
schedulers, its own values with the number of every sample it saw, and what is drawn next from each random stream.
"""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from support.seeds import make_random
from support.training import Ended, Trainings
from support.trees import freeze

pytestmark = pytest.mark.torch

JOB = Path(__file__).parents[1] / "support" / "exact_job.py"
LONGEST = 0.5
"""Seconds until a kill, on a machine that needs 0.1 before the first step and 0.5 for the whole training. A slower one
gives more: each life that saved nothing lengthens the next."""
MOST_LIVES = 400
KINDS: dict[str, list[object]] = {
    "nested": [],
    "flat": ["--form", "flat"],
    "workers": ["--workers", 2],
    "persistent workers, flat": ["--form", "flat", "--workers", 2, "--persistent"],
}


def load(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = torch.load(path, weights_only=True)
    return result


def train_alone(trainings: Trainings, folder: Path, options: list[object]) -> dict[str, Any]:
    folder.mkdir()
    ended = trainings.run(JOB, *options, "--out", "end.pt", cwd=folder)
    assert ended.code == 0, ended.output
    return load(folder / "end.pt")


def live_once(
    trainings: Trainings, folder: Path, options: list[object], by: signal.Signals, seconds: float
) -> tuple[Ended, bool]:
    """One life, and whether it was hit by the signal."""
    life = trainings.start(JOB, *options, "--pause", 0.004, "--out", "end.pt", cwd=folder)
    ended = life.wait(seconds)
    if ended is not None:
        return ended, False
    life.send(by)
    return life.end(), True


def train_with_deaths(
    trainings: Trainings, folder: Path, options: list[object], by: signal.Signals, deaths: int
) -> list[dict[str, Any]]:
    """Trainings to their end, as many as it takes until `deaths` of their processes were hit."""
    random, hits, longest = make_random(), 0, LONGEST
    results: list[dict[str, Any]] = []
    for _ in range(MOST_LIVES):
        root = folder / f"training-{len(results)}"
        root.mkdir(exist_ok=True)
        before = saved_in(root)
        ended, was_hit = live_once(trainings, root, options, by, random.uniform(0, longest))
        if not was_hit:
            longest = max(LONGEST, longest / 2)
        elif saved_in(root) == before:
            longest *= 1.1
        hits += was_hit
        assert ended.code in (0, 75, -by), ended.output
        if ended.code == 0:
            results.append(load(root / "end.pt"))
            if hits >= deaths:
                return results
    raise AssertionError(f"no end after {MOST_LIVES} lives, {hits} deaths")


def saved_in(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob("checkpoints/step-*/COMMIT")}


def check_every_sample_came_once_per_epoch(result: dict[str, Any]) -> None:
    seen = [number for batch in result["values"]["seen"] for number in batch]
    assert Counter(seen) == Counter(list(range(52)) * 3)
    assert sorted(seen[:52]) == list(range(52))


def check(trainings: Trainings, folder: Path, kind: str, by: signal.Signals, deaths: int) -> None:
    alone = train_alone(trainings, folder / "alone", KINDS[kind])
    check_every_sample_came_once_per_epoch(alone)
    for result in train_with_deaths(trainings, folder, KINDS[kind], by, deaths):
        assert freeze(result["values"]) == freeze(alone["values"])
        assert freeze(result) == freeze(alone)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM], ids=lambda by: by.name)
@pytest.mark.parametrize("kind", ["nested", "persistent workers, flat"])
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    kind: str, by: signal.Signals, trainings: Trainings, tmp_path: Path
) -> None:
    check(trainings, tmp_path, kind, by, deaths=4)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM], ids=lambda by: by.name)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_twenty_times_it_ends_with_the_same_bits(
    kind: str, by: signal.Signals, trainings: Trainings, tmp_path: Path
) -> None:
    check(trainings, tmp_path, kind, by, deaths=20)


def test_the_comparison_would_see_a_single_bit(trainings: Trainings, tmp_path: Path) -> None:
    alone = train_alone(trainings, tmp_path / "alone", [])
    changed = load(tmp_path / "alone" / "end.pt")
    assert freeze(changed) == freeze(alone)
    weight = changed["model"]["0.weight"]
    weight.view(torch.int32)[0, 0] ^= 1
    assert freeze(changed) != freeze(alone)


def test_other_random_numbers_would_give_another_end(trainings: Trainings, tmp_path: Path) -> None:
    """Or the comparison would prove nothing: the training depends on every stream that it draws from."""
    alone = train_alone(trainings, tmp_path / "alone", [])
    text = JOB.read_text()
    for number, line in enumerate(["torch.manual_seed(1)", "random.seed(1)", "np.random.seed(1)"]):
        assert f"\n{line}\n" in text
        script = tmp_path / f"other-{number}.py"
        script.write_text(text.replace(f"\n{line}\n", f"\n{line.replace('1', '2')}\n"))
        folder = tmp_path / str(number)
        folder.mkdir()
        assert trainings.run(script, "--out", "end.pt", cwd=folder).code == 0
        assert freeze(load(folder / "end.pt")["model"]) != freeze(alone["model"])
