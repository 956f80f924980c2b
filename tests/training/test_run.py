"""What `perdure.Run` promises of one process: what it saves, when, and where it goes on."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import perdure
from perdure import directory, errors
from perdure.channel import SaveWish
from perdured.contract import environment
from perdured.contract.checkpoint import list_checkpoints, verify_checkpoint
from support.toy import Counter, Crash


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Thousands of checkpoints are made here; that they survive a power cut is another test's matter.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def steps_in(root: Path = Path("checkpoints")) -> list[int]:
    return sorted(listed.step for listed in list_checkpoints(root))


def manifest_of(step: int, root: Path = Path("checkpoints")) -> Any:
    (path,) = (listed.path for listed in list_checkpoints(root) if listed.step == step)
    verdict = verify_checkpoint(path)
    assert verdict.is_valid
    return verdict.manifest


def quarantined(root: Path = Path("checkpoints")) -> list[str]:
    return sorted(path.name for path in (root / "quarantine").glob("step-*") if path.is_dir())


def die() -> None:
    raise Crash


def train(steps: int, every: str = "1000 steps", *, crash_at: int | None = None, **options: Any) -> Counter:
    """One life of a training over `range(steps)`; dies as if killed right after reporting `crash_at`."""
    random.seed(1)
    counter = Counter()
    try:
        with perdure.Run(counter=counter, every=every, **options) as run:
            for item in run.batches(range(steps)):
                counter.learn(item)
                run.report(loss=counter.total)
                if run.step == crash_at:
                    die()
    except Crash:
        pass
    return counter


# Saving ----------------------------------------------------------------------------------------------------------


def test_leaving_the_block_saves_what_is_not_saved_yet() -> None:
    train(5)
    assert steps_in() == [5]


def test_leaving_it_saves_nothing_twice() -> None:
    train(5, "5 steps")
    assert len(list_checkpoints(Path("checkpoints"))) == 2, "the second one is of the end of the loop"
    train(5)
    assert len(list_checkpoints(Path("checkpoints"))) == 2


def test_an_exception_saves_nothing() -> None:
    train(5, crash_at=3)
    assert steps_in() == []


def test_it_saves_every_so_many_steps_and_keeps_so_many() -> None:
    train(20, "3 steps", crash_at=17, keep=3)
    assert steps_in() == [9, 12, 15]


def test_it_never_keeps_fewer_than_two() -> None:
    train(20, "3 steps", crash_at=17, keep=1)
    assert steps_in() == [12, 15]


def test_the_one_resumed_from_is_kept() -> None:
    train(100, "1 step", crash_at=5, keep=2)
    train(100, "1 step", crash_at=20, keep=2)
    assert steps_in() == [5, 19, 20]


def test_the_manifest_says_what_and_where() -> None:
    train(9, "3 steps", crash_at=5)
    manifest = manifest_of(3)
    assert manifest.facts.series == "run"
    assert dict(manifest.facts.position) == {"epoch": 0, "batches": 3}
    assert {file.name for file in manifest.files} == {"tensors.safetensors", "state.json"}


def test_the_daemons_settings_count_where_the_script_says_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(environment.CHECKPOINT_DIR, str(tmp_path / "by daemon"))
    monkeypatch.setenv(environment.CHECKPOINT_EVERY, "2 steps")
    monkeypatch.setenv(environment.CHECKPOINT_KEEP, "4")
    monkeypatch.setenv(environment.JOB_ID, "j1")
    monkeypatch.setenv(environment.ATTEMPT, "3")
    with contextlib.suppress(Crash), perdure.Run() as run:
        for _ in range(11):
            run.report()
        raise Crash
    assert steps_in(tmp_path / "by daemon") == [4, 6, 8, 10]
    facts = manifest_of(8, tmp_path / "by daemon").facts
    assert (facts.job, facts.attempt) == ("j1", 3)
    train(5, "1 step", crash_at=4, dir="by script", keep=2)
    assert steps_in(Path("by script")) == [3, 4]


def test_save_makes_a_checkpoint_now() -> None:
    with perdure.Run(counter=Counter()) as run:
        run.report()
        path = run.save()
        assert path is not None
        assert verify_checkpoint(path).is_valid
        assert steps_in() == [1]


def test_save_inside_a_step_waits_for_the_report() -> None:
    with perdure.Run(counter=Counter()) as run:
        for _ in run.batches(range(2)):
            assert run.save() is None
            assert steps_in() == list(range(1, run.step + 1)), "nothing yet"
            run.report()
    assert 1 in steps_in()


def test_inside_a_step_a_safe_point_does_nothing() -> None:
    with contextlib.suppress(Crash), perdure.Run(counter=Counter(), every="1 step") as run:
        for item in run.batches(range(9)):
            if item == 4:
                run._wish = SaveWish()
                run.safe_point()
                raise Crash
            run.report()
    assert steps_in()[-1] == 4
    assert dict(manifest_of(4).facts.position) == {"epoch": 0, "batches": 4}


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_makes_a_checkpoint_that_nobody_resumes_from(loss: float) -> None:
    train(9, "3 steps", crash_at=3)
    with contextlib.suppress(Crash), perdure.Run(counter=Counter(), every="3 steps") as run:
        for item in run.batches(range(9)):
            run.report(loss=loss if item == 5 else 1.0)
            if run.step == 6:
                raise Crash
    assert not manifest_of(6).facts.healthy
    with perdure.Run(counter=Counter()) as run:
        assert run.resumed_from_step == 3
    assert [name[:17] for name in quarantined()] == ["step-000000000006"], "or it would order before what comes now"


@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_loss_that_is_not_finite_is_told_once(as_tensor: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """A number at its step; a tensor, which may lie on a device, when the next checkpoint is made."""
    make = pytest.importorskip("torch").tensor if as_tensor else float
    with contextlib.suppress(Crash), perdure.Run(counter=Counter(), every="3 steps") as run:
        for item in run.batches(range(20)):
            run.report(loss=make(math.nan if item >= 4 else 1.0))
            if run.step == 4:
                assert "not finite" not in capsys.readouterr().err
            if run.step == 15:
                raise Crash
    said = capsys.readouterr().err
    assert said.count("not finite") == 1
    assert f"not finite: nan at step {6 if as_tensor else 5}" in said


def test_a_loss_of_a_tensor_is_not_kept_with_its_graph() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.ones(1, requires_grad=True)
    with perdure.Run(counter=Counter()) as run:
        run.report(loss=(weight * 2).sum())
        assert run._loss.grad_fn is None


# Going on --------------------------------------------------------------------------------------------------------


def test_it_goes_on_and_ends_as_if_never_broken_off() -> None:
    whole = train(30, dir="whole")
    for crash in (4, 11, 12, 25):
        train(30, "3 steps", crash_at=crash)
    assert train(30).state_dict() == whole.state_dict()


def test_a_resumed_run_says_from_where(capsys: pytest.CaptureFixture[str]) -> None:
    train(9, "2 steps", crash_at=5)
    with perdure.Run(counter=Counter()) as run:
        assert (run.step, run.resumed_from_step) == (4, 4)
    assert "perdure: resumed from step 4" in capsys.readouterr().err


def test_a_run_that_is_complete_does_nothing_more() -> None:
    counter = train(5)
    assert train(5).state_dict() == counter.state_dict()
    assert steps_in() == [5]


def test_values_come_back_and_new_ones_have_their_default() -> None:
    with perdure.Run(values={"best": 1.0, "log": []}) as run:
        run.values["best"] = 0.5
        run.values["log"].append((1, "a"))
        run.report()
    with perdure.Run(values={"best": 1.0, "new": 7}) as run:
        assert run.values == {"best": 0.5, "log": [(1, "a")], "new": 7}


def test_the_daemons_choice_is_obeyed_and_what_is_newer_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    train(20, "2 steps", crash_at=7, keep=9)
    (chosen,) = (listed.path for listed in list_checkpoints(Path("checkpoints")) if listed.step == 2)
    monkeypatch.setenv(environment.RESUME_FROM, str(chosen.absolute()))
    train(20, "2 steps", crash_at=4, keep=9)
    assert steps_in() == [2, 4]
    assert [name[:17] for name in quarantined()] == ["step-000000000004", "step-000000000006"]


def test_the_daemons_choice_of_another_series_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    train(20, "2 steps", crash_at=5)
    other = directory.commit(Path("checkpoints"), 9, {"x": [b"x"]}, directory.make_facts("x.pth"))
    monkeypatch.setenv(environment.RESUME_FROM, str(other.absolute()))
    with perdure.Run(counter=Counter()) as run:
        assert run.resumed_from_step == 4


def spoil(step: int, file: str = "state.json") -> None:
    (path,) = (listed.path for listed in list_checkpoints(Path("checkpoints")) if listed.step == step)
    data = bytearray((path / file).read_bytes())
    data[len(data) // 2] ^= 1
    (path / file).write_bytes(data)


@pytest.mark.parametrize("file", ["state.json", "tensors.safetensors", "MANIFEST.json"])
def test_a_broken_checkpoint_is_set_aside_and_the_one_before_is_used(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    train(9, "2 steps", crash_at=5)
    spoil(4, file)
    with perdure.Run(counter=Counter()) as run:
        assert run.resumed_from_step == 2
    assert [name[:17] for name in quarantined()] == ["step-000000000004"]
    assert "is set aside" in capsys.readouterr().err


def test_a_choice_of_the_daemon_that_broke_meanwhile_gives_way_to_an_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    train(20, "2 steps", crash_at=7, keep=9)
    (chosen,) = (listed.path for listed in list_checkpoints(Path("checkpoints")) if listed.step == 4)
    monkeypatch.setenv(environment.RESUME_FROM, str(chosen.absolute()))
    spoil(4)
    with perdure.Run(counter=Counter()) as run:
        assert run.resumed_from_step == 2


def test_if_none_is_whole_it_does_not_begin_again_by_itself() -> None:
    train(9, "2 steps", crash_at=5)
    spoil(2)
    spoil(4)
    with pytest.raises(errors.NoValidCheckpoint, match="fresh=True"), perdure.Run(counter=Counter()):
        pass
    assert len(quarantined()) == 2
    with perdure.Run(counter=Counter(), fresh=True) as run:
        assert run.step == 0


def lose_all() -> None:
    """Two checkpoints, both broken, and a start that has found it out."""
    train(9, "2 steps", crash_at=5)
    spoil(2)
    spoil(4)
    with pytest.raises(errors.NoValidCheckpoint), perdure.Run(counter=Counter()):
        pass


def test_if_none_was_whole_at_an_earlier_start_it_still_does_not_begin_again_by_itself() -> None:
    lose_all()
    for _ in range(2):
        with pytest.raises(errors.NoValidCheckpoint, match="quarantine"), perdure.Run(counter=Counter()):
            pass
    assert steps_in() == []


def test_after_a_fresh_start_was_asked_for_what_was_lost_before_is_in_nobodys_way() -> None:
    """Also where the fresh run died before its first checkpoint."""
    lose_all()
    train(9, crash_at=1, fresh=True)
    assert (steps_in(), len(quarantined())) == ([], 2)
    with perdure.Run(counter=Counter()) as run:
        assert run.resumed_from_step is None


def test_a_fresh_run_whose_own_checkpoints_are_lost_does_not_begin_again_by_itself() -> None:
    train(9, crash_at=1, fresh=True)
    lose_all()
    with pytest.raises(errors.NoValidCheckpoint), perdure.Run(counter=Counter()):
        pass


def test_when_the_quarantine_was_removed_it_begins() -> None:
    lose_all()
    shutil.rmtree("checkpoints/quarantine")
    with perdure.Run(counter=Counter()) as run:
        assert run.resumed_from_step is None


def test_one_that_is_brought_back_from_the_quarantine_is_used() -> None:
    lose_all()
    (name,) = (name for name in quarantined() if name.startswith("step-000000000004"))
    Path("checkpoints/quarantine", name).rename(Path("checkpoints", name))
    spoil(4)  # flips the same bit back
    with perdure.Run(counter=Counter()) as run:
        assert run.resumed_from_step == 4


def test_a_choice_of_the_daemon_that_broke_meanwhile_is_no_reason_to_begin_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the only one, and was whole when the daemon looked."""
    train(3)
    monkeypatch.setenv(environment.RESUME_FROM, str(list_checkpoints(Path("checkpoints"))[0].path.absolute()))
    spoil(3)
    with pytest.raises(errors.NoValidCheckpoint), perdure.Run(counter=Counter()):
        pass


def test_if_all_are_unhealthy_it_says_so() -> None:
    with perdure.Run(counter=Counter()) as run:
        run.report(loss=math.nan)
    with pytest.raises(errors.NoValidCheckpoint, match="loss that was not finite"), perdure.Run(counter=Counter()):
        pass


def test_fresh_begins_at_0_and_keeps_the_old_ones_aside() -> None:
    train(9, "2 steps", crash_at=5)
    train(9, "2 steps", crash_at=2, fresh=True)
    assert steps_in() == [2]
    assert len(quarantined()) == 2


def test_a_restarted_job_is_not_fresh_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    train(9, "2 steps", crash_at=5)
    monkeypatch.setenv(environment.FIRST, "0")
    with perdure.Run(counter=Counter(), fresh=True) as run:
        assert run.resumed_from_step == 4


def test_other_objects_are_an_error_that_names_them() -> None:
    train(3)
    with pytest.raises(errors.CannotRestore, match=r"no other; it also has counter"), perdure.Run(other=Counter()):
        pass


def test_a_state_of_another_format_is_not_guessed_at() -> None:
    files = {"tensors.safetensors": [b"\2\0\0\0\0\0\0\0{}"], "state.json": [b'{"format": 2}']}
    directory.commit(Path("checkpoints"), 1, files, directory.make_facts("run"))
    with pytest.raises(errors.CannotRestore, match="format 2"), perdure.Run():
        pass


def test_a_checkpoint_that_is_no_state_of_a_run_is_an_error() -> None:
    directory.commit(Path("checkpoints"), 1, {"state.json": [b"1"]}, directory.make_facts("run"))
    with pytest.raises(errors.CannotRestore, match="cannot be read"), perdure.Run():
        pass


# Storage ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps at which the disk is full."""
    steps: list[int] = []
    commit = directory.commit

    def fail(root: Path, step: int, *rest: Any) -> Path:
        if step in steps:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return commit(root, step, *rest)

    monkeypatch.setattr(directory, "commit", fail)
    return steps


def test_a_periodic_save_that_fails_is_told_and_tried_again_when_the_next_is_due(
    full: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    full += [6]
    counter = train(12, "3 steps", crash_at=11, keep=9)
    assert len(counter.items) == 11
    assert steps_in() == [3, 9]
    told = capsys.readouterr().err.splitlines()
    assert "step 6 could not be written" in told[0]
    assert "No space left on device" in told[1]
    assert "Mend the storage" in told[2]


def test_a_last_save_that_fails_is_an_error(full: list[int]) -> None:
    full += [4]
    with pytest.raises(errors.SaveFailed, match="No space left"):
        train(4, "3 steps")
    assert steps_in() == [3]


def test_a_directory_that_cannot_be_written_is_an_error_before_the_first_step() -> None:
    Path("file").touch()
    with pytest.raises(errors.SaveFailed, match="no checkpoints can be written"), perdure.Run(dir="file/checkpoints"):
        pass


def test_a_failed_retention_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    train(9, "1 step", crash_at=5)
    monkeypatch.setattr(os, "listdir", lambda path: (_ for _ in ()).throw(PermissionError()))
    directory.drop_old(Path("checkpoints"), 2, None)


# Use and misuse --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda run: run.report(),
        lambda run: run.safe_point(),
        lambda run: run.save(),
        lambda run: run.epochs(2),
        lambda run: run.batches([1]),
    ],
)
def test_outside_the_block_it_is_an_error(use: Callable[[perdure.Run], object]) -> None:
    run = perdure.Run(counter=Counter())
    with pytest.raises(errors.Misuse, match="was not entered"):
        use(run)
    with run:
        pass
    with pytest.raises(errors.Misuse, match="block is over"):
        use(run)
    with pytest.raises(errors.Misuse, match="was entered before"):
        run.__enter__()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"every": "often"}, "neither"),
        ({"every": "0 steps"}, "more than nothing"),
        ({"every": 5}, "neither"),
        ({"keep": 0}, "no number of checkpoints"),
        ({"keep": "many"}, "no number of checkpoints"),
        ({"model": 3}, "a int has no state_dict"),
        ({"data": iter([1])}, "only once"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(options: dict[str, Any], why: str) -> None:
    with pytest.raises(errors.Misuse, match=why):
        perdure.Run(**options)


@pytest.mark.parametrize("values", [{"f": len}, {"a": [object()]}])
def test_what_cannot_be_saved_is_refused_at_once(values: dict[str, Any]) -> None:
    with pytest.raises(errors.CannotSave, match=r"values\["):
        perdure.Run(values=values)


def test_batches_without_data_are_refused() -> None:
    with perdure.Run() as run, pytest.raises(errors.Misuse, match="has no data"):
        run.batches()


def test_batches_take_the_data_of_the_run() -> None:
    with perdure.Run(data=[1, 2]) as run:
        assert list(run.batches()) == [1, 2]


def test_the_same_data_twice_in_an_epoch_is_refused() -> None:
    data = [1, 2]
    with perdure.Run() as run:
        list(run.batches(data))
        with pytest.raises(errors.Misuse, match="twice in one epoch"):
            list(run.batches(data))


def test_two_runs_after_each_other_in_one_process() -> None:
    assert train(4, dir="one").items == train(4, dir="two").items == [0, 1, 2, 3]


def test_two_runs_on_one_directory_are_kept_apart() -> None:
    with perdure.Run(), pytest.raises(errors.DirectoryInUse, match="this very process"), perdure.Run():
        pass
    with perdure.Run() as run:
        assert run.step == 0


def test_a_run_that_failed_to_begin_holds_nothing() -> None:
    train(3)
    with pytest.raises(errors.CannotRestore), perdure.Run(other=Counter()):
        pass
    train(3)


def test_the_handlers_of_before_are_back_after_the_block() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with perdure.Run() as run:
        assert signal.getsignal(signal.SIGTERM) != before[0]
        assert not run.should_stop
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


# Loops -----------------------------------------------------------------------------------------------------------

Trace = list[tuple[Any, ...]]
Loop = Callable[[perdure.Run, Counter, Trace], None]


def nested(run: perdure.Run, counter: Counter, trace: Trace) -> None:
    """Draws and changes state at every place where code can stand."""
    for epoch in run.epochs(3):
        counter.total += random.random()
        scale = random.random()
        for item in run.batches(DATA):
            counter.learn((epoch, item, scale))
            counter.total += random.random()
            trace.append((run.epoch, item))
            run.report()
            random.random()  # an evaluation: not repeated, and put back
            run.safe_point()
        counter.total *= 2
        run.safe_point()
        scale = random.random()
        for item in run.batches(OTHER):
            counter.learn((epoch, "other", item, scale))
            run.report()
        counter.total += random.random()


def flat(run: perdure.Run, counter: Counter, trace: Trace) -> None:
    for item in run.batches(DATA, epochs=3):
        counter.learn((run.epoch, item))
        trace.append((run.epoch, item))
        run.report()
        random.random()


def own_loop(run: perdure.Run, counter: Counter, trace: Trace) -> None:
    while run.step < 12:
        counter.learn(run.step)
        trace.append((run.step,))
        run.report()


def accumulating(run: perdure.Run, counter: Counter, trace: Trace) -> None:
    """A report for every second batch."""
    part = 0.0
    for number, item in enumerate(run.batches(DATA, epochs=2), run.step * 2):
        part += item + random.random()
        if number % 2:
            counter.learn(part)
            part = 0.0
            run.report()


def broken_off(run: perdure.Run, counter: Counter, trace: Trace) -> None:
    """Not all batches of an epoch."""
    for _ in run.epochs(3):
        for item in run.batches(DATA):
            if len([item for item in counter.items if item[0] == run.epoch]) == 3:
                break
            counter.learn((run.epoch, item))
            run.report()
        counter.total += random.random()


def polite_nested(run: perdure.Run, counter: Counter, trace: Trace) -> None:
    """Leaves its loop when it is to stop, with a batch in hand, and looks at nothing more."""
    for epoch in run.epochs(3):
        for item in run.batches(DATA):
            noise = random.random()
            if run.should_stop:
                break
            counter.learn((epoch, item, noise))
            run.report()
        counter.total += random.random()


def polite_flat(run: perdure.Run, counter: Counter, trace: Trace) -> None:
    for item in run.batches(DATA, epochs=3):
        noise = random.random()
        if run.should_stop:
            break
        counter.learn((run.epoch, item, noise))
        if random.random() < 0.5:  # a signal may come just before the report
            random.random()
        run.report()


class Shuffled:
    """A loader with a state of its own, which goes from one epoch to the next."""

    def __init__(self) -> None:
        self.draw = random.Random(4)
        self.order: list[int] | None = None

    def __iter__(self) -> Iterator[int]:
        if self.order is None:
            self.order = self.draw.sample(range(4), 4)
        while self.order:
            yield self.order.pop()
        self.order = None

    def state_dict(self) -> dict[str, Any]:
        return {"draw": self.draw.getstate(), "order": None if self.order is None else list(self.order)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.draw.setstate(state["draw"])
        self.order = state["order"]


def with_a_stateful_loader(run: perdure.Run, counter: Counter, trace: Trace) -> None:
    data, other = Shuffled(), Shuffled()
    for _ in run.epochs(3):
        for item in run.batches(data):
            counter.learn(item)
            run.report()
        counter.total += random.random()
        for item in run.batches(other):
            counter.learn(item)
            run.report()


DATA = [10, 11, 12, 13]
OTHER = ["a", "b"]
LOOPS = [nested, flat, own_loop, accumulating, broken_off, polite_nested, polite_flat, with_a_stateful_loader]


class Fate(NamedTuple):
    """What happens when the training has drawn so many random numbers, whatever it was doing."""

    by: str
    at: int


def live(loop: Loop, root: str, every: str, fate: Fate | None) -> tuple[Counter, int]:
    """One life. Returns also how often it drew."""
    random.seed(1)
    counter = Counter()
    drawn = 0
    draw = random.random

    def count() -> float:
        nonlocal drawn
        drawn += 1
        if fate is not None and drawn == fate.at:
            if fate.by == "crash":
                raise Crash
            run._stop.signal = signal.SIGTERM
        return draw()

    random.random = count
    try:
        with perdure.Run(counter=counter, dir=root, every=every) as run:
            loop(run, counter, [])
    except (Crash, SystemExit):
        pass
    finally:
        random.random = draw
    return counter, drawn


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("by", "every"), [("crash", "1 step"), ("crash", "3 steps"), ("stop", "1000 steps")])
def test_an_end_anywhere_in_any_loop_changes_nothing(loop: Loop, by: str, every: str) -> None:
    whole, places = live(loop, "whole", every, None)
    assert places > 3
    for place in range(1, places + 1, 2 if every == "1 step" else 1):
        root = f"until-{place}"
        live(loop, root, every, Fate(by, place))
        live(loop, root, every, Fate(by, place // 2 + 1))
        assert live(loop, root, every, None)[0].state_dict() == whole.state_dict(), f"ended at {place}"


@pytest.mark.parametrize("loop", [polite_nested, polite_flat])
def test_a_batch_in_hand_when_the_loop_is_left_for_a_stop_comes_again(loop: Loop) -> None:
    live(loop, "stopped", "1000 steps", Fate("stop", 1))
    assert dict(manifest_of(0, Path("stopped")).facts.position) == {"epoch": 0, "batches": 0}
    counter, _ = live(loop, "stopped", "1000 steps", None)
    assert [item[:2] for item in counter.items] == [(epoch, item) for epoch in range(3) for item in DATA]


def test_a_loop_left_at_a_limit_goes_on_in_the_epoch_when_the_limit_is_raised() -> None:
    def train_to(limit: int) -> list[Any]:
        counter = Counter()
        with perdure.Run(counter=counter) as run:
            for item in run.batches(DATA, epochs=9):
                if run.step >= limit:
                    break
                counter.learn(item)
                run.report()
        return counter.items

    assert train_to(2) == DATA[:2]
    assert train_to(2) == DATA[:2]
    assert train_to(6) == DATA + DATA[:2]


def test_a_stop_is_no_loss_even_of_one_step() -> None:
    """Told to stop at any moment, it goes on behind the very last report."""
    for place in range(1, 25):
        counter, _ = live(flat, f"at-{place}", "1000 steps", Fate("stop", place))
        assert steps_in(Path(f"at-{place}"))[-1] == len(counter.items)


def test_leaving_a_loop_early_and_normally_is_an_end() -> None:
    with perdure.Run(counter=Counter()) as run:
        for _ in run.epochs(9):
            for _ in run.batches(DATA):
                run.report()
            if run.epoch == 1:
                break
    assert steps_in() == [8]


def test_a_generator_that_is_thrown_away_harms_nothing() -> None:
    with perdure.Run(counter=Counter()) as run:
        batches: Iterator[Any] = run.batches(DATA)
        next(batches)
        run.report()
        del batches
        assert list(run.batches(OTHER)) == OTHER
    assert steps_in() == [1]


@pytest.mark.parametrize("epochs", [1, 2])
def test_batches_that_are_to_be_passed_over_are_neither_handed_out_nor_counted_as_steps(
    epochs: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And the place behind them is saved: who goes on from there passes over nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(environment.SKIP_BATCHES, "4" if epochs == 2 else "2")
    seen = []
    with contextlib.suppress(KeyboardInterrupt), perdure.Run(data=range(3), every="1 steps") as run:
        for batch in run.batches(range(3), epochs=epochs):
            seen.append(batch)
            run.report()
            if epochs == 2:
                raise KeyboardInterrupt
    assert seen == ([2] if epochs == 1 else [1])
    assert run.step == 1
    if epochs == 2:
        monkeypatch.delenv(environment.SKIP_BATCHES)
        with perdure.Run(data=range(3)) as run:
            assert list(run.batches(range(3), epochs=2)) == [2]
