"""`perdure.save` and `perdure.load`: torch's own format, whole or not at all, and never code."""

from __future__ import annotations

import errno
import math
import os
import shutil
import signal
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import perdure
from perdure import classic, directory, errors, streamed
from perdure.health import Health
from perdure.supervisor import Rhythm
from perdured.contract import environment
from perdured.contract.checkpoint import list_checkpoints, verify_checkpoint
from support.keepers import Listener, listening
from support.training import Life, Trainings
from support.trees import freeze

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    forget()


def forget() -> None:
    """As if the process had just begun."""
    classic._paths.clear()
    classic._resumed.clear()
    classic._supervisor.cache_clear()
    classic._health = Health()


def store(name: str = "a.pth") -> Path:
    return Path(name + ".checkpoints")


def steps(root: Path | None = None) -> list[int]:
    return sorted(listed.step for listed in list_checkpoints(root or store()))


def spoil(step: int, root: Path | None = None) -> Path:
    (path,) = (listed.path for listed in list_checkpoints(root or store()) if listed.step == step)
    payload = next(each for each in path.iterdir() if each.name.endswith(".pth"))
    data = bytearray(payload.read_bytes())
    data[len(data) // 2] ^= 1
    with open(payload, "r+b") as file:  # in place, as a disk does it, and so through the link as well
        file.write(data)
    return payload


STATE: dict[str, Any] = {
    "epoch": 3,
    "model_state_dict": nn.Linear(3, 2).state_dict(),
    "loss": 0.5,
    "history": [1, (2, None)],
    "mean": np.float64(0.25),
    "array": np.arange(3),
}


def test_what_was_saved_is_loaded() -> None:
    perdure.save(STATE, "a.pth")
    assert freeze(perdure.load("a.pth")) == freeze(STATE)


def test_the_file_is_one_of_torch_save() -> None:
    perdure.save({"weight": torch.arange(4.0), "epoch": 1}, "out/a.pth")
    assert torch.load("out/a.pth", weights_only=True)["weight"].tolist() == [0, 1, 2, 3]


def test_the_bytes_are_those_of_torch_save(tmp_path: Path) -> None:
    value = {"small": torch.ones(3), "large": torch.arange(3_000_000.0), "tied": [torch.ones(2)] * 2}
    torch.save(value, tmp_path / "archive")
    buffers = list(map(bytes, streamed.stream_saved(value)))
    assert len(buffers) < 10
    (tmp_path / "ours").write_bytes(b"".join(buffers))
    assert freeze(torch.load(tmp_path / "ours")) == freeze(torch.load(tmp_path / "archive"))
    assert abs((tmp_path / "ours").stat().st_size - (tmp_path / "archive").stat().st_size) < 1000


def test_a_stream_that_is_not_read_to_its_end_leaves_no_thread() -> None:
    before = threading.active_count()
    stream = streamed.stream_saved({"large": torch.zeros(3_000_000)})
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_the_file_is_a_link_to_the_committed_one() -> None:
    perdure.save(STATE, "a.pth")
    (listed,) = list_checkpoints(store())
    assert verify_checkpoint(listed.path).is_valid
    assert os.path.samefile("a.pth", listed.path / "a.pth")


def test_where_links_do_not_work_it_is_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)
    perdure.save(STATE, "a.pth")
    assert freeze(torch.load("a.pth", weights_only=False)) == freeze(STATE)
    assert freeze(perdure.load("a.pth")) == freeze(STATE)


@pytest.mark.parametrize(
    ("obj", "given", "step"),
    [
        ({"step": 7, "epoch": 1}, None, 7),
        ({"epoch": 4}, None, 4),
        ({"epoch": 4}, 9, 9),
        ({"epoch": True}, None, 1),
        ({"step": torch.tensor(3)}, None, 1),
        ([1], None, 1),
        ({}, 0, 0),
    ],
)
def test_its_step_is_the_one_given_or_said_by_the_object_or_one_more(obj: Any, given: int | None, step: int) -> None:
    perdure.save(obj, "a.pth", step=given)
    assert steps() == [step]


def test_without_a_step_they_are_counted() -> None:
    for _ in range(3):
        perdure.save([1], "a.pth", keep=5)
    assert steps() == [1, 2, 3]


@pytest.mark.parametrize("step", [-1, 1.5, "3"])
def test_a_step_that_is_none_is_refused(step: Any) -> None:
    with pytest.raises(errors.Misuse, match="is no step"):
        perdure.save({"a": 1}, "a.pth", step=step)


def test_it_keeps_two_and_more_if_asked() -> None:
    for epoch in range(5):
        perdure.save({"epoch": epoch}, "a.pth", keep=1)
    assert steps() == [3, 4]
    for epoch in range(5, 9):
        perdure.save({"epoch": epoch}, "a.pth", keep=4)
    assert steps() == [5, 6, 7, 8]


def test_it_keeps_what_the_spec_says_where_the_script_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for epoch in range(7):
        perdure.save({"epoch": epoch}, "a.pth")
    assert steps() == [4, 5, 6], "three without a spec, as for Run"
    monkeypatch.setenv(environment.CHECKPOINT_KEEP, "5")
    for epoch in range(7, 14):
        perdure.save({"epoch": epoch}, "a.pth")
    assert steps() == [9, 10, 11, 12, 13]


@pytest.mark.parametrize("keep", [0, -1, "many"])
def test_a_number_to_keep_that_is_none_is_refused_before_anything_is_written(keep: Any) -> None:
    with pytest.raises(errors.Misuse, match="no number of checkpoints"):
        perdure.save({"epoch": 1}, "a.pth", keep=keep)
    assert not store().exists()


def test_the_last_saved_is_the_one_loaded_even_if_its_step_is_lower() -> None:
    """As with torch.save: a training that begins again overwrites what there was."""
    perdure.save({"epoch": 50}, "a.pth")
    perdure.save({"epoch": 0}, "a.pth")
    assert perdure.load("a.pth") == {"epoch": 0}
    assert steps() == [0]
    assert (
        len(list((store() / "quarantine").glob("step-*0"))) + len(list((store() / "quarantine").glob("step-*1"))) >= 1
    )


# What goes in ----------------------------------------------------------------------------------------------------


class Thing:
    pass


@pytest.mark.parametrize("value", [Thing(), {"model": nn.Linear(1, 1)}, [{"f": len}], {"x": {1: Thing}}])
def test_what_could_not_be_loaded_is_refused_before_anything_is_written(value: Any) -> None:
    perdure.save({"epoch": 1}, "a.pth")
    with pytest.raises(errors.CannotSave, match="cannot save this"):
        perdure.save(value, "a.pth")
    assert perdure.load("a.pth") == {"epoch": 1}


def test_what_cannot_be_pickled_at_all_is_refused() -> None:
    with pytest.raises(errors.CannotSave):
        perdure.save({"lock": threading.Lock()}, "a.pth")


def test_a_loss_that_is_not_finite_is_not_resumed_from() -> None:
    perdure.save({"epoch": 1, "loss": 0.5}, "a.pth")
    perdure.save({"epoch": 2, "loss": math.nan}, "a.pth")
    assert perdure.load("a.pth")["epoch"] == 1


@pytest.mark.parametrize(
    ("loss", "healthy"),
    [
        (torch.tensor(math.nan), False),
        (torch.tensor([math.inf], requires_grad=True), False),
        (np.float32("nan"), False),
        (torch.tensor(1.0, requires_grad=True), True),
        (torch.tensor([math.nan, 1.0]), True),
        ("nan", True),
        (torch.tensor(1j), True),
        ([math.nan], True),
    ],
    ids=str,
)
def test_a_loss_that_is_a_tensor_of_one_element_counts_as_its_number(loss: object, healthy: bool) -> None:
    assert classic._is_healthy({"loss": loss}, 1) == healthy


def test_a_loss_that_is_not_finite_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    perdure.save({"epoch": 1, "loss": 0.5}, "a.pth")
    assert not capsys.readouterr().err
    for epoch in (2, 3):
        perdure.save({"epoch": epoch, "loss": math.nan}, "a.pth")
    said = capsys.readouterr().err
    assert said.count("the loss is not finite: nan at step 2") == 1
    assert said.count("not finite") == 1


def test_two_files_of_one_name_in_one_job_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.CHECKPOINT_DIR, "job")
    perdure.save({"epoch": 1}, "one/a.pth")
    perdure.save({"epoch": 1}, "one/b.pth")
    with pytest.raises(errors.Misuse, match="would be mixed up"):
        perdure.save({"epoch": 1}, "two/a.pth")


# What comes out --------------------------------------------------------------------------------------------------


def test_nothing_to_load_is_an_error_or_the_default() -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.pth"):
        perdure.load("a.pth")
    assert perdure.load("a.pth", default=None) is None


def test_a_damaged_one_gives_way_to_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    perdure.save({"epoch": 1, "w": torch.ones(99)}, "a.pth")
    perdure.save({"epoch": 2, "w": torch.ones(99)}, "a.pth")
    spoil(2)
    forget()
    assert perdure.load("a.pth")["epoch"] == 1
    assert "is set aside" in capsys.readouterr().err
    assert torch.load("a.pth", weights_only=True)["epoch"] == 1, "the file follows"
    assert [path.name[:17] for path in (store() / "quarantine").glob("step-*") if path.is_dir()] == [
        "step-000000000002"
    ]


def test_if_all_are_damaged_that_is_an_error() -> None:
    perdure.save({"epoch": 1, "w": torch.ones(99)}, "a.pth")
    spoil(1)
    with pytest.raises(errors.NoValidCheckpoint):
        perdure.load("a.pth", default=None)


def test_if_all_were_damaged_at_an_earlier_start_that_is_an_error_still(capsys: pytest.CaptureFixture[str]) -> None:
    """Nor is the damaged file itself taken in their place. Where they and it are moved away, it begins anew."""
    perdure.save({"epoch": 1, "w": torch.ones(99)}, "a.pth")
    spoil(1)
    for _ in range(3):
        forget()
        with pytest.raises(errors.NoValidCheckpoint, match=r"move .*a\.pth\.checkpoints and .*a\.pth away"):
            perdure.load("a.pth", default=None)
    store().rename("away")
    Path("a.pth").unlink()
    assert perdure.load("a.pth", default=None) is None


def test_another_file_begins_although_all_of_the_first_were_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one directory, as under Perdure: series by series."""
    monkeypatch.setenv(environment.CHECKPOINT_DIR, "job")
    perdure.save({"epoch": 1, "w": torch.ones(99)}, "a.pth")
    spoil(1, Path("job"))
    with pytest.raises(errors.NoValidCheckpoint, match="--fresh-start"):
        perdure.load("a.pth")
    assert perdure.load("b.pth", default=None) is None


def test_what_a_fresh_start_set_aside_is_not_loaded_through_the_file() -> None:
    """The file at the path is the newest of them under another name."""
    perdure.save({"epoch": 1}, "a.pth")
    directory.begin_afresh(store(), "a.pth")
    forget()
    assert perdure.load("a.pth", default=None) is None


def test_going_back_is_no_reason_to_refuse() -> None:
    """What is set aside on purpose was not lost."""
    for epoch in (50, 0):
        perdure.save({"epoch": epoch}, "a.pth")
    for listed in list_checkpoints(store()):
        shutil.rmtree(listed.path)
    Path("a.pth").unlink()
    assert perdure.load("a.pth", default=None) is None


def test_a_file_that_was_overwritten_by_other_means_is_found_out() -> None:
    """Through the link it damages the newest checkpoint; the one before is used."""
    for epoch in (1, 2):
        perdure.save({"epoch": epoch}, "a.pth")
    torch.save({"epoch": 99, "more": 1}, "a.pth")
    assert perdure.load("a.pth") == {"epoch": 1}


def test_a_lost_file_is_made_again() -> None:
    perdure.save({"epoch": 1}, "a.pth")
    os.unlink("a.pth")
    assert perdure.load("a.pth") == {"epoch": 1}
    assert Path("a.pth").exists()


def test_a_plain_file_of_torch_save_is_loaded() -> None:
    torch.save({"epoch": 5}, "a.pth")
    assert perdure.load("a.pth", map_location="cpu") == {"epoch": 5}
    torch.save({"epoch": 6}, "old.pth", _use_new_zipfile_serialization=False)
    assert perdure.load("old.pth") == {"epoch": 6}


def flip(data: bytearray) -> bytearray:
    data[len(data) // 2] ^= 1
    return data


@pytest.mark.parametrize(
    "damage", [flip, lambda data: data[: len(data) // 2], lambda data: b""], ids=["flip", "cut", "empty"]
)
def test_a_plain_file_that_is_damaged_is_refused(damage: Callable[[bytearray], bytes]) -> None:
    torch.save({"w": torch.ones(1000)}, "a.pth")
    Path("a.pth").write_bytes(damage(bytearray(Path("a.pth").read_bytes())))
    with pytest.raises(errors.CannotRestore):
        perdure.load("a.pth")


class Evil:
    def __reduce__(self) -> Any:
        return (os.system, ("touch ran",))


def test_a_file_with_code_in_it_is_refused_and_nothing_is_run() -> None:
    torch.save({"epoch": Evil()}, "a.pth")
    with pytest.raises(errors.CannotRestore, match="cannot be loaded"):
        perdure.load("a.pth")
    assert not Path("ran").exists()


# Under Perdure ---------------------------------------------------------------------------------------------------


def test_the_daemons_choice_wins_at_the_first_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.CHECKPOINT_DIR, str(Path("job").absolute()))
    for epoch in range(1, 5):
        perdure.save({"epoch": epoch}, "a.pth", keep=9)
    (chosen,) = (listed.path for listed in list_checkpoints(Path("job").absolute()) if listed.step == 2)
    monkeypatch.setenv(environment.RESUME_FROM, str(chosen))
    forget()
    assert perdure.load("a.pth") == {"epoch": 2}
    assert perdure.load("b.pth", default="another series") == "another series"
    perdure.save({"epoch": 3}, "a.pth")
    assert perdure.load("a.pth") == {"epoch": 3}
    assert steps(Path("job")) == [1, 2, 3]


def test_a_moved_job_finds_its_checkpoints(tmp_path: Path) -> None:
    perdure.save({"epoch": 1}, "here/a.pth")
    shutil.move("here", "there")
    forget()
    assert perdure.load("there/a.pth") == {"epoch": 1}


def test_a_full_disk_is_an_error_and_what_was_saved_is_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    perdure.save({"epoch": 1}, "a.pth")

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(directory, "commit", fail)
    with pytest.raises(errors.SaveFailed, match="No space left on device"):
        perdure.save({"epoch": 2}, "a.pth")
    assert perdure.load("a.pth") == {"epoch": 1}


SCRIPT = """
import os, signal, sys
import perdure
state = perdure.load("a.pth", default={"epoch": 0})
print("from", state["epoch"], flush=True)
for epoch in range(state["epoch"], 6):
    if epoch == 3 and state["epoch"] == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    print("epoch", epoch, flush=True)
    perdure.save({"epoch": epoch + 1}, "a.pth")
"""


def test_under_a_keeper_it_stops_after_the_next_save(trainings: Trainings, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with listening(tmp_path / "k.sock") as keeper:
        env = {environment.CHANNEL: str(keeper.path), environment.CHECKPOINT_DIR: str(tmp_path / "job")}
        first = trainings.run(script, cwd=tmp_path, env=env)
        assert first.code == 75, first.output
        assert "epoch 3" in first.output
        assert "epoch 4" not in first.output
        told = [(message["type"], message["step"]) for message in keeper.messages if "step" in message]
        assert told[-3:] == [("progress", 4), ("saving", 4), ("checkpoint", 4)]
        second = trainings.run(script, cwd=tmp_path, env=env)
    assert second.code == 0, second.output
    assert "from 4" in second.output


STANDS = """
import os, sys, time
import perdure
state = perdure.load("a.pth", default={"epoch": 0})
for epoch in range(state["epoch"], 1000):
    print("epoch", epoch, flush=True)
    time.sleep(0.01)
    perdure.save({"epoch": epoch + 1}, "a.pth")
    if epoch >= 5 and os.path.exists("enough"): break
"""


@contextmanager
def standing(trainings: Trainings, folder: Path) -> Iterator[tuple[Listener, Life]]:
    """One that was told to stand still in the middle of its work, and does."""
    script = folder / "script.py"
    script.write_text(STANDS)
    with listening(folder / "k.sock") as keeper:
        life = trainings.start(script, cwd=folder, env={environment.CHANNEL: str(keeper.path)})
        keeper.wait_for("can_park")
        keeper.wait_for("checkpoint", 3)
        keeper.say(b'{"type": "park", "deadline": null}\n')
        keeper.wait_for("parked")
        yield keeper, life


def test_told_of_a_notice_it_stands_still_after_its_next_save_and_goes_on_from_there(
    trainings: Trainings, tmp_path: Path
) -> None:
    with standing(trainings, tmp_path) as (keeper, life):
        (parked,) = keeper.of_type("parked")
        assert parked["saved"] is True
        assert steps()[-1] == parked["step"]
        assert life.wait(0.3) is None
        assert steps()[-1] == parked["step"]
        (tmp_path / "enough").touch()
        keeper.say(b'{"type": "go_on"}\n')
        ended = life.end()
        assert ended.code == 0, ended.output
        saved = [message["step"] for message in keeper.of_type("checkpoint")]
        assert saved == list(range(1, len(saved) + 1))
        assert len(saved) > parked["step"]


def test_told_to_stop_while_it_stands_still_it_ends_with_75(trainings: Trainings, tmp_path: Path) -> None:
    with standing(trainings, tmp_path) as (keeper, life):
        life.send(signal.SIGTERM)
        ended = life.end()
        assert ended.code == 75, ended.output
        assert steps()[-1] == keeper.of_type("parked")[-1]["step"]


def test_it_tells_how_long_its_saves_take_and_how_far_they_are_apart(trainings: Trainings, tmp_path: Path) -> None:
    """Which is the way to its next safe point: from this a notice is answered."""
    with standing(trainings, tmp_path) as (keeper, life):
        life.wait(0.5)
        (tmp_path / "enough").touch()
        keeper.say(b'{"type": "go_on"}\n')
        life.end()
        paces = keeper.of_type("pace")
    assert paces[0]["slowest_step"] is None
    last = paces[-1]
    assert 0 < last["fastest_write"] <= last["write"] <= last["slowest_write"]
    assert 0.01 <= last["save_every"] <= last["slowest_step"]


def test_how_long_it_stood_still_says_nothing_of_the_way_to_its_next_save() -> None:
    rhythm = Rhythm()
    rhythm.begin_save()
    rhythm.end_save()
    rhythm.note_pause()
    rhythm.begin_save()
    assert rhythm.end_save().slowest_step is None
    rhythm.begin_save()
    assert rhythm.end_save().slowest_step is not None


def test_alone_it_takes_no_signal(trainings: Trainings, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert trainings.run(script, cwd=tmp_path).code == -signal.SIGTERM


def test_a_script_with_its_own_handler_keeps_it(trainings: Trainings, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import signal\nsignal.signal(signal.SIGTERM, lambda *_: print('mine', flush=True))\n" + SCRIPT)
    with listening(tmp_path / "k.sock") as keeper:
        ended = trainings.run(script, cwd=tmp_path, env={environment.CHANNEL: str(keeper.path)})
        assert keeper.of_type("can_park") == [], "nor is it asked to stand still, which would keep the signal from it"
    assert ended.code == 0, ended.output
    assert "mine" in ended.output


KILLED = textwrap.dedent(
    """
    import perdure, torch
    state = perdure.load("a.pth", default={"epoch": 0, "w": torch.zeros(100_000)})
    assert bool((state["w"] == state["epoch"]).all())
    print("from", state["epoch"], flush=True)
    while True:
        state = {"epoch": state["epoch"] + 1, "w": state["w"] + 1}
        perdure.save(state, "a.pth")
        print("saved", state["epoch"], flush=True)
    """
)


def test_killed_at_random_moments_it_loads_what_was_saved_last(trainings: Trainings, tmp_path: Path) -> None:
    from support.seeds import make_random

    script, random, saved = tmp_path / "script.py", make_random(), 0
    script.write_text(KILLED)
    for _ in range(12):
        life = trainings.start(script, cwd=tmp_path)
        life.wait_for("from")
        assert life.wait(random.uniform(0, 0.2)) is None, life.output
        life.send(signal.SIGKILL)
        words = life.end().output.split()
        began = int(words[words.index("from") + 1])
        assert began in (saved, saved + 1), "the last one told, or one that was committed and not told any more"
        saved = max([began, *(int(words[i + 1]) for i, word in enumerate(words[:-1]) if word == "saved")])
    assert saved > 12
