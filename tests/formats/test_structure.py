"""Formats without torch: safetensors and the folders of Hugging Face's Trainer, as their documentation has it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from perdured.formats import judge
from perdured.supervise.foreign import ASIDE, ForeignFiles
from support.disk_jobs import make_submission


def write_safetensors(path: Path, names: tuple[str, ...] = ("weight", "bias")) -> None:
    header = {
        name: {"dtype": "F32", "shape": [4], "data_offsets": [16 * i, 16 * i + 16]} for i, name in enumerate(names)
    }
    head = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(16 * len(names)))


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "byteorder", "data/0", "version"):
            archive.writestr(f"archive/{name}", b"content of " + name.encode() * 20)


def write_trainer_folder(folder: Path, step: int, shards: int = 0) -> Path:
    """In the Trainer's order: weights, optimizer, scheduler, RNG, arguments, its own state last."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    if shards:
        names = [f"model-{i:05}-of-{shards:05}.safetensors" for i in range(1, shards + 1)]
        for name in names:
            write_safetensors(folder / name)
        index = {"metadata": {"total_size": 1}, "weight_map": {f"w{i}": name for i, name in enumerate(names)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        write_safetensors(folder / "model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"):
        write_zip(folder / name)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": []}))
    return folder


def own_files(workdir: Path, pattern: str = "out/checkpoint-*") -> ForeignFiles:
    return ForeignFiles(make_submission(workdir, f'[checkpoint]\npattern = "{pattern}"'), "job")


def committed(workdir: Path) -> list[str]:
    return sorted(path.name for path in workdir.glob("checkpoints/step-*/checkpoint-*"))


def test_a_safetensors_file_cut_anywhere_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_safetensors(path)
    whole = path.read_bytes()
    assert judge(path) == ("safetensors", (), None, False)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert judge(path).is_broken, f"cut at {length}"
    path.write_bytes(whole + b"x")
    assert judge(path).is_broken


@pytest.mark.parametrize("shards", [0, 3])
def test_a_folder_of_the_trainer_says_its_step(tmp_path: Path, shards: int) -> None:
    assert judge(write_trainer_folder(tmp_path / "checkpoint-7", 500, shards)) == ("Hugging Face", (), 500, False)


@pytest.mark.parametrize("shards", [0, 3])
def test_each_file_that_is_missing_or_cut_is_named(tmp_path: Path, shards: int) -> None:
    folder = write_trainer_folder(tmp_path / "checkpoint-500", 500, shards)
    for path in [p for p in folder.iterdir() if p.name != "config.json"]:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert judge(folder).is_broken, path.name
        assert path.name in judge(folder).summarize()
        path.write_bytes(whole)
    for path in [folder / "trainer_state.json", *folder.glob("model*.safetensors")]:
        whole = path.read_bytes()
        path.unlink()
        assert path.name in judge(folder).summarize()
        path.write_bytes(whole)
    assert not judge(folder).is_broken


def test_a_folder_of_accelerate_is_not_called_broken(tmp_path: Path) -> None:
    """Its scripts name theirs the same, and write no state of a trainer."""
    folder = tmp_path / "checkpoint-500"
    folder.mkdir()
    write_safetensors(folder / "model.safetensors")
    (folder / "random_states_0.pkl").write_bytes(b"x")
    assert judge(folder).kind is None


def test_a_folder_is_committed_as_one_and_counts_by_its_step(tmp_path: Path) -> None:
    folder = write_trainer_folder(tmp_path / "out" / "checkpoint-500", 500)
    (folder / "half.tmp").write_text("somebody is at it")
    files = own_files(tmp_path)
    assert files.commit_new_ones(1, 0.0) == 0
    assert files.commit_new_ones(1, 0.0, is_over=True) == 1
    [copy] = tmp_path.glob("checkpoints/step-000000000500-*/checkpoint-500")
    assert not judge(copy).is_broken
    assert not (copy / "half.tmp").exists()
    assert own_files(tmp_path).commit_new_ones(2, 0.0, is_over=True) == 0


def test_a_folder_that_the_program_is_deleting_is_not_taken_again(tmp_path: Path) -> None:
    folder = write_trainer_folder(tmp_path / "out" / "checkpoint-500", 500)
    files = own_files(tmp_path)
    assert files.commit_new_ones(1, 0.0, is_over=True) == 1
    (folder / "optimizer.pt").unlink()
    assert files.commit_new_ones(1, 0.0, is_over=True) == 0


def test_a_folder_that_is_renamed_into_place_is_taken(tmp_path: Path) -> None:
    folder = write_trainer_folder(tmp_path / "out" / "tmp-checkpoint-500", 500)
    assert own_files(tmp_path).commit_new_ones(1, 0.0, is_over=True) == 0
    folder.rename(tmp_path / "out" / "checkpoint-500")
    assert own_files(tmp_path).commit_new_ones(1, 0.0, is_over=True) == 1


def test_broken_newest_ones_are_set_aside_with_the_reason_and_nothing_is_deleted(tmp_path: Path) -> None:
    for step in (500, 1000, 1500):
        write_trainer_folder(tmp_path / "out" / f"checkpoint-{step}", step)
    for step in (1000, 1500):
        (tmp_path / "out" / f"checkpoint-{step}" / "trainer_state.json").unlink()
    files = own_files(tmp_path)
    assert [moved.path.name for moved in files.set_broken_ones_aside()] == ["checkpoint-1500", "checkpoint-1000"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["checkpoint-500", ASIDE]
    reason = json.loads((tmp_path / "out" / ASIDE / "checkpoint-1500.reason.json").read_text())
    assert "trainer_state.json" in reason["why"]
    assert (tmp_path / "out" / ASIDE / "checkpoint-1500" / "model.safetensors").exists()
    assert files.set_broken_ones_aside() == []


def test_nothing_is_set_aside_where_no_whole_one_is_left(tmp_path: Path) -> None:
    """The program would begin again in silence."""
    folder = write_trainer_folder(tmp_path / "out" / "checkpoint-500", 500)
    (folder / "trainer_state.json").unlink()
    assert own_files(tmp_path).set_broken_ones_aside() == []
    assert folder.exists()


def test_a_fresh_start_leaves_what_is_older_than_the_job(tmp_path: Path) -> None:
    write_trainer_folder(tmp_path / "out" / "checkpoint-500", 500)
    submission = make_submission(tmp_path, '[checkpoint]\npattern = "out/checkpoint-*"')
    assert ForeignFiles(submission, "job", not_before=4e9).commit_new_ones(1, 0.0, is_over=True) == 0
    assert committed(tmp_path) == []
