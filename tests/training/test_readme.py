"""Every snippet of `jobs/README.md` runs as it stands there, to its end, and again after it was killed."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from support.seeds import make_random
from support.training import Trainings

pytestmark = pytest.mark.torch

README = Path(__file__).parents[2] / "jobs" / "README.md"
BEGINNING, *SNIPPETS = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.MULTILINE | re.DOTALL)


def name_of(snippet: str) -> str:
    return next(line for line in snippet.splitlines() if "perdure." in line).strip()[:50]


def write_script(folder: Path, snippet: str, end: str = "") -> Path:
    script = folder / "train.py"
    script.write_text(f"{BEGINNING}\n{snippet}\n{end}")
    return script


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 6
    assert "import perdure" in BEGINNING


@pytest.mark.parametrize("snippet", SNIPPETS, ids=name_of)
def test_it_runs_to_its_end_and_then_has_nothing_more_to_do(snippet: str, trainings: Trainings, tmp_path: Path) -> None:
    script = write_script(tmp_path, snippet)
    for _ in range(2):
        ended = trainings.run(script, cwd=tmp_path)
        assert ended.code == 0, ended.output


RUNS = [snippet for snippet in SNIPPETS if "perdure.Run" in snippet]


@pytest.mark.parametrize("snippet", RUNS, ids=name_of)
def test_killed_it_ends_with_the_same_weights(snippet: str, trainings: Trainings, tmp_path: Path) -> None:
    end = "print('weights', [p.tolist() for p in model.parameters()], flush=True)"
    slowed = snippet.replace("run.report(", "__import__('time').sleep(0.003); run.report(")
    weights = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        folder.mkdir()
        script = write_script(folder, slowed, end)
        random = make_random()
        for _ in range(5 if name == "killed" else 0):
            life = trainings.start(script, cwd=folder, env={"PERDURE_CHECKPOINT_EVERY": "1 step"})
            if life.wait(random.uniform(0.05, 0.3)) is None:
                life.send(signal.SIGKILL)
                life.end()
        ended = trainings.run(script, cwd=folder)
        assert ended.code == 0, ended.output
        weights.append(ended.output.partition("weights")[2])
    assert weights[0]
    assert weights[0] == weights[1]
