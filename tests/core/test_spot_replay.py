"""The planner on the lives of spot machines, in simulated time (`benchmarks/spot.py`): it never loses what it was sure
of, and keeps more than those who save at a fixed interval."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from perdured.core.notice_plan import plan_notice

SOURCE = Path(__file__).parents[2] / "benchmarks" / "spot.py"


def load_spot() -> Any:
    spec = importlib.util.spec_from_file_location("spot", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["spot"] = module
    spec.loader.exec_module(module)
    return module


spot = load_spot()
SMALL = spot.Size("small", start=30.0, step=0.3, copy=0.1, write=2.0)
LARGE = spot.Size("large", start=240.0, step=5.0, copy=3.0, write=60.0)
TWO_MINUTES = spot.Forewarning("two minutes", 120.0, "exact", 120.0)
DOUBTFUL = spot.Forewarning("30 s, or 5", 30.0, "ceiling", 5.0)
FIXED = spot.Policy("fixed", spot.save_every(1800.0), None)
PLANNED = spot.Policy("planned", spot.save_every(1800.0), spot.heed_by_plan)
PERDURE = spot.Policy("perdure", spot.save_as_chosen, spot.heed_by_plan)
TRACES = [spot.draw_trace(seed) for seed in range(5)]


@pytest.mark.parametrize("warning", [TWO_MINUTES, DOUBTFUL])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_who_plans_for_notices_keeps_at_least_as_much_as_who_saves_at_a_fixed_interval(size: Any, warning: Any) -> None:
    kept = {policy.name: 0.0 for policy in (FIXED, PLANNED, PERDURE)}
    for trace in TRACES:
        for policy in (FIXED, PLANNED, PERDURE):
            saved = spot.replay(trace, size, warning, policy).saved
            assert saved <= spot.count_ideal(trace, size) + 1e-6
            kept[policy.name] += saved
    assert kept["planned"] >= 0.999 * kept["fixed"]
    assert kept["perdure"] > kept["fixed"]


def test_where_the_planner_was_sure_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every window of five weeks that was as long as promised."""
    answers: list[Any] = []

    def note(*arguments: Any) -> Any:
        answers.append(plan_notice(*arguments))
        return answers[-1]

    monkeypatch.setattr(spot, "plan_notice", note)
    sure = 0
    for size in (SMALL, LARGE):
        drawn = random.Random(7)
        run = spot.Run(size, TWO_MINUTES, drawn)
        for _ in range(500):
            run.draw_write()
            run.trained = run.saved + drawn.uniform(0.0, 1000.0)
            passed = drawn.choice([0.0, drawn.uniform(0.0, 115.0)])
            run.saved = spot.heed_by_plan(run, spot.Left(passed, 120.0 - passed, 120.0 - passed))
            if answers[-1].is_sure:
                sure += 1
                assert run.saved == run.trained
    assert sure >= 300


def test_a_window_that_broke_makes_the_next_one_less_sure() -> None:
    run = spot.Run(SMALL, DOUBTFUL, random.Random(7))
    for _ in range(8):
        run.draw_write()
    spot.heed_by_plan(run, spot.Left(0.0, 30.0, 6.0))
    assert [window.share for window in run.windows] == [6.0 / 30.0]


def test_a_trace_is_read_as_the_times_in_which_there_was_a_machine(tmp_path: Path) -> None:
    folder = tmp_path / "preemption" / "1-node" / "aws"
    folder.mkdir(parents=True)
    told = {"metadata": {"gap_seconds": 30}, "data": [0, 1, 1, 0, 0, 1]}
    (folder / "zone.json").write_text(json.dumps(told))
    (folder / "never_taken.json").write_text(json.dumps(told | {"data": [1, 1]}))
    (trace,) = spot.load_traces(tmp_path, "preemption")
    assert (trace.name, trace.lives, trace.available) == ("aws/zone", ((30.0, 90.0), (150.0, 180.0)), 90.0)
