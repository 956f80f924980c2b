"""How often a run saves by its own measurements, under real keepers and without one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import perdure
from perdure.channel import Channel, SaveWish
from perdure.pacer import Pacer
from perdure.schedule import AUTO, Mark, Schedule
from perdure.settings import Settings, load_settings
from perdured.contract import environment
from perdured.contract.checkpoint import list_checkpoints
from perdured.contract.deadline import TooLate
from perdured.contract.pacing import SHORTEST, Costs, History, Pace, format_past
from perdured.keeper.records import load_exit
from perdured.processes import start_keeper
from support.processes import attempt_directory, make_order, read_output, run, wait_for_end
from support.toy import Counter

DAY = 86400.0
NO_HISTORY, NO_COSTS = History(), Costs()


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    with attempt_directory(tmp_path) as directory:
        yield directory


def make_pacer(schedule: Schedule = AUTO, history: History = NO_HISTORY, costs: Costs = NO_COSTS) -> Pacer:
    return Pacer(Settings(schedule, 3, Path("c"), True, (history, costs)), Channel(None))


def is_due_after(pacer: Pacer, seconds: float) -> bool:
    return pacer.is_save_due(Mark(0, 0.0), Mark(1, seconds))


def test_a_fixed_interval_is_kept_whatever_saves_cost() -> None:
    pacer = make_pacer(Schedule(None, 60.0), History(DAY, 1000), Costs(write=50.0))
    pacer.note_write(50.0, has_memory=False)
    assert (is_due_after(pacer, 59.9), is_due_after(pacer, 60.0)) == (False, True)
    by_steps = make_pacer(Schedule(5, None))
    assert by_steps.is_save_due(Mark(0, 0.0), Mark(5, 0.1))
    assert not by_steps.is_save_due(Mark(0, 0.0), Mark(4, 1e9))
    assert pacer.is_snapshot_due()


def test_auto_saves_soon_at_first_and_then_by_what_that_cost() -> None:
    pacer = make_pacer()
    assert (is_due_after(pacer, SHORTEST - 0.1), is_due_after(pacer, SHORTEST + 0.1)) == (False, True)
    pacer.note_write(2.0, has_memory=False)
    assert (is_due_after(pacer, 197.0), is_due_after(pacer, 199.0)) == (False, True), "one per cent of the time"


def test_what_saves_cost_an_earlier_attempt_counts_from_the_beginning() -> None:
    pacer = make_pacer(costs=Costs(write=2.0))
    assert (is_due_after(pacer, 197.0), is_due_after(pacer, 199.0)) == (False, True)


def test_a_job_that_fails_often_saves_more_often() -> None:
    sound, fragile = (make_pacer(history=h, costs=Costs(write=0.5)) for h in (History(DAY), History(DAY, 300)))
    assert not is_due_after(sound, 100.0)
    assert is_due_after(fragile, 100.0)


def test_one_slow_save_does_not_change_the_interval() -> None:
    pacer = make_pacer()
    for seconds in (0.5, 0.5, 90.0, 0.5):
        pacer.note_write(seconds, has_memory=False)
    assert is_due_after(pacer, 60.0)


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"failures": -1}', '{"copy": "x"}'])
def test_a_past_that_is_not_understood_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.CHECKPOINT_PAST, text)
    assert load_settings(None, None, None).past == (History(), Costs())


def test_the_past_that_the_daemon_tells_is_the_one_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    past = (History(100.5, 2, 1), Costs(0.25, None))
    monkeypatch.setenv(environment.CHECKPOINT_PAST, format_past(*past))
    assert load_settings(None, None, None).past == past


def test_a_save_that_could_not_be_in_time_even_at_its_fastest_is_not_begun() -> None:
    pacer = make_pacer()
    assert pacer.fits_on_disk(0.001), "nobody knows better yet"
    for seconds in (2.0, 5.0):
        pacer.note_write(seconds, has_memory=False)
    assert (pacer.fits_on_disk(1.9), pacer.fits_on_disk(2.1)) == (False, True)


def _save_wished(deadline: float, *, before: bool) -> tuple[list[int], list[str]]:
    """The steps of the checkpoints after a wish with that deadline, and what else lies beside them."""
    with contextlib.suppress(KeyError), perdure.Run(counter=Counter(), every="1000000 steps") as run:
        run.report()
        if before:
            run.save()
        run.report()
        run._wish = SaveWish(deadline)
        run.safe_point()
        raise KeyError
    root = Path("checkpoints")
    debris = [path.name for path in root.iterdir() if path.name.startswith((".tmp", ".trash"))]
    return [listed.step for listed in list_checkpoints(root)], debris


def test_a_save_of_this_process_that_is_late_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """And nobody is sent to mend a disk that is well. It seemed to fit; its deadline comes while it is written."""

    def come(_: float | None) -> None:
        raise TooLate

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("perdure.saver._check_deadline", come)
    assert _save_wished(1e9, before=False) == ([], [])
    told = "".join(capfd.readouterr())
    assert "was given up; training goes on" in told
    assert "Mend" not in told


def test_one_that_is_known_not_to_fit_is_told_and_the_one_before_is_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _save_wished(0.0, before=True) == ([1], [])
    assert "was not begun; training goes on" in "".join(capfd.readouterr())


def test_the_grace_of_a_signal_is_a_deadline_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a memory tier: what would be cut by the kill is not begun."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(environment.GRACE_SECONDS, "0")
    with (  # noqa: PT012
        pytest.raises(SystemExit) as ended,
        perdure.Run(counter=Counter(), every="1000000 steps") as run,
    ):
        run.report()
        run.save()
        os.kill(os.getpid(), signal.SIGTERM)
        run.report()
    assert ended.value.code == 75
    assert "saving takes longer than there is time" in "".join(capfd.readouterr())
    assert [listed.step for listed in list_checkpoints(Path("checkpoints"))] == [1]


SCRIPT = """
import os, time
import perdure
from perdured.contract import pacing
from perdure import pacer
pacing.SHORTEST = 0.05

class Counter:
    value = 0
    def state_dict(self): return {"value": self.value}
    def load_state_dict(self, state): self.value = state["value"]

with perdure.Run(counter=Counter(), every=EVERY) as run:
    end = time.monotonic() + 30
    while time.monotonic() < end and not is_enough(run): run.report(); time.sleep(0.001)
    print(run._saver._memory.is_held)
"""


def _run_script(directory: Path, every: str, **env: str) -> Pace:
    """Until it has snapshots and checkpoints, where it can; returns the pace that the keeper recorded."""
    root = directory.parent / "checkpoints"
    script = directory.parent / "script.py"
    enough = "lambda run: run._saver._pacer._writes.middle is not None and (MEMORY == (run._saver._memory.is_held))"
    prelude = f"EVERY = {every!r}\nis_enough = {enough}\nMEMORY = {environment.CHECKPOINT_MEMORY not in env}\n"
    script.write_text(prelude + SCRIPT)
    variables = {environment.CHECKPOINT_DIR: str(root), **env}
    run(start_keeper(make_order(directory, sys.executable, str(script), grace=10.0, **variables)))
    assert wait_for_end(directory).exit_code == 0
    assert list_checkpoints(root)
    ended = load_exit(directory)
    assert ended is not None
    assert ended.pace is not None
    return ended.pace


def test_the_keeper_records_how_often_the_run_saves_and_what_that_costs(directory: Path) -> None:
    pace = _run_script(directory, "auto")
    assert read_output(directory) == ["True"]
    assert None not in pace
    assert pace.overhead is not None
    assert pace.overhead <= 0.0101


def test_without_a_memory_tier_there_are_no_snapshots_in_it(directory: Path) -> None:
    pace = _run_script(directory, "auto", **{environment.CHECKPOINT_MEMORY: "0"})
    assert (pace.snapshot_every, pace.copy) == (None, None)
    assert pace.write is not None


def test_a_fixed_interval_is_told_as_it_is(directory: Path) -> None:
    assert _run_script(directory, "0.1s").save_every == 0.1
    record = json.loads((directory / "exit.json").read_text())
    assert record["pace"]["save_every"] == 0.1
