"""A program that finds its newest file by itself finds what the store has, where it has nothing whole of its own."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from perdured.contract.checkpoint.store import list_checkpoints
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.core.events import Event
from perdured.state.submission import Submission
from perdured.supervise.foreign import ASIDE, QUIET, ForeignFiles
from perdured.supervise.giving_back import give_back
from support.disk_jobs import make_submission
from support.stores import commit

THEN = 1_600_000_000.0
LATER = THEN + QUIET + 1
TOLD = 'resume_args = ["--resume", "{checkpoint}"]'


def submission_for(workdir: Path, pattern: str, more: str = "") -> Submission:
    return make_submission(workdir, f'[checkpoint]\npattern = "{pattern}"\n{more}')


def write(path: Path, content: bytes, at: float = THEN) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    os.utime(path, (at, at))
    return path.read_bytes()


def write_trainer_folder(folder: Path, step: int) -> dict[str, bytes]:
    """As Hugging Face's Trainer does, with a file in a folder below."""
    (folder / "deeper").mkdir(parents=True)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (folder / "deeper" / "rng.bin").write_bytes(b"random")
    for path in folder.rglob("*"):
        os.utime(path, (THEN, THEN))
    os.utime(folder, (THEN, THEN))
    return contents_of(folder)


def contents_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def take_in(submission: Submission) -> int:
    return ForeignFiles(submission, "job").commit_new_ones(1, LATER)


def newest(submission: Submission) -> Path:
    return list_checkpoints(submission.checkpoint_dir)[0].path


def give(submission: Submission) -> tuple[Event, ...]:
    return give_back(submission, newest(submission))


def kinds(events: tuple[Event, ...]) -> list[str]:
    return [event.kind for event in events]


def test_a_file_that_is_gone_is_given_back_once_and_is_nothing_new(tmp_path: Path) -> None:
    submission, path = submission_for(tmp_path, "out/ckpt-*.pt"), tmp_path / "out" / "ckpt-7.pt"
    whole = write(path, b"seven")
    take_in(submission)
    path.unlink()
    path.parent.rmdir()
    assert kinds(give(submission)) == ["given_back"]
    assert path.read_bytes() == whole
    assert os.listdir(path.parent) == ["ckpt-7.pt"]
    assert take_in(submission) == 0
    assert give(submission) == ()


def test_a_folder_is_given_back_with_all_that_is_below_it(tmp_path: Path) -> None:
    submission, folder = submission_for(tmp_path, "out/checkpoint-*"), tmp_path / "out" / "checkpoint-500"
    whole = write_trainer_folder(folder, 500)
    assert take_in(submission) == 1
    folder.rename(tmp_path / "away")
    assert kinds(give(submission)) == ["given_back"]
    assert contents_of(folder) == whole
    assert take_in(submission) == 0


def test_a_file_of_a_fixed_name_that_was_torn_gives_way_to_the_version_before(tmp_path: Path) -> None:
    """The program was killed while it wrote over its only one."""
    submission, path = submission_for(tmp_path, "checkpoint.pth"), tmp_path / "checkpoint.pth"
    whole = write(path, b"one")
    take_in(submission)
    path.write_bytes(whole[:-9])
    assert kinds(give(submission)) == ["quarantined", "given_back"]
    assert path.read_bytes() == whole
    assert (tmp_path / ASIDE / "checkpoint.pth").read_bytes() == whole[:-9]


def test_all_broken_ones_are_set_aside_where_no_whole_one_is_left(tmp_path: Path) -> None:
    """The program takes its newest by number, which would be a broken one."""
    submission, folder = submission_for(tmp_path, "out/ckpt-*.pt"), tmp_path / "out"
    whole = write(folder / "ckpt-7.pt", b"seven")
    take_in(submission)
    (folder / "ckpt-7.pt").write_bytes(whole[:-9])
    (folder / "ckpt-8.pt").write_bytes(b"PK half")
    assert kinds(give(submission)) == ["quarantined", "quarantined", "given_back"]
    assert {path.name for path in folder.iterdir()} == {"ckpt-7.pt", ASIDE}
    assert (folder / "ckpt-7.pt").read_bytes() == whole


@pytest.mark.parametrize("other", ["ckpt-3.pt", "ckpt-9.pt"])
def test_nothing_is_given_back_where_the_program_has_a_whole_one(tmp_path: Path, other: str) -> None:
    submission, path = submission_for(tmp_path, "ckpt-*.pt"), tmp_path / "ckpt-7.pt"
    write(path, b"seven")
    take_in(submission)
    path.unlink()
    write(tmp_path / other, b"other")
    assert give(submission) == ()
    assert not path.exists()


def test_what_cannot_be_judged_stays_as_it_is(tmp_path: Path) -> None:
    submission, path = submission_for(tmp_path, "weights-*.bin"), tmp_path / "weights-7.bin"
    path.write_bytes(b"weights")
    os.utime(path, (THEN, THEN))
    assert take_in(submission) == 1
    path.write_bytes(b"wei")
    assert give(submission) == ()
    assert path.read_bytes() == b"wei"


def test_a_program_that_is_told_where_its_checkpoint_is_gets_no_second_one(tmp_path: Path) -> None:
    submission, path = submission_for(tmp_path, "ckpt-*.pt", TOLD), tmp_path / "ckpt-7.pt"
    write(path, b"seven")
    take_in(submission)
    path.unlink()
    assert give(submission) == ()
    assert not path.exists()


def test_where_the_folder_is_not_known_it_is_said(tmp_path: Path) -> None:
    submission, path = submission_for(tmp_path, "runs/*/ckpt.pt"), tmp_path / "runs" / "a" / "ckpt.pt"
    write(path, b"seven")
    take_in(submission)
    path.unlink()
    (note,) = give(submission)
    assert "is not given back" in note.text
    assert "resume_args" in note.text
    assert not path.exists()


def test_a_checkpoint_of_another_pattern_is_not_given_back(tmp_path: Path) -> None:
    """Nor one that `perdure.save` made."""
    submission = submission_for(tmp_path, "ckpt-*.pt")
    write(tmp_path / "ckpt-7.pt", b"seven")
    take_in(submission)
    (tmp_path / "ckpt-7.pt").unlink()
    assert give_back(submission_for(tmp_path, "other-*.pt"), newest(submission)) == ()
    commit(tmp_path / "checkpoints", 9)
    assert give(submission) == ()


def test_an_empty_folder_in_its_place_is_set_aside(tmp_path: Path) -> None:
    """What a kill left that came before the first byte."""
    submission, folder = submission_for(tmp_path, "checkpoint-*"), tmp_path / "checkpoint-500"
    whole = write_trainer_folder(folder, 500)
    take_in(submission)
    folder.rename(tmp_path / "away")
    folder.mkdir()
    give(submission)
    assert contents_of(folder) == whole


@pytest.mark.parametrize("as_folder", [False, True])
def test_what_a_kill_half_way_left_is_removed(tmp_path: Path, as_folder: bool) -> None:
    submission, path = submission_for(tmp_path, "ckpt-*.pt"), tmp_path / "ckpt-7.pt"
    write(path, b"seven")
    take_in(submission)
    path.unlink()
    half = tmp_path / ".ckpt-7.pt.given-back.tmp"
    if as_folder:
        half.mkdir()
    else:
        half.write_bytes(b"half")
    give(submission)
    assert path.exists()
    assert not half.exists()


def test_a_copy_that_fails_leaves_nothing_under_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start is put off, and the program does not begin anew."""
    submission, path = submission_for(tmp_path, "ckpt-*.pt"), tmp_path / "ckpt-7.pt"
    write(path, b"seven")
    take_in(submission)
    path.unlink()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("perdured.contract.durable.create_file", refuse)
    with pytest.raises(OSError, match="No space"):
        give(submission)
    assert not path.exists()


def test_what_is_given_back_is_what_was_verified(tmp_path: Path) -> None:
    submission, path = submission_for(tmp_path, "ckpt-*.pt"), tmp_path / "ckpt-7.pt"
    write(path, b"seven")
    take_in(submission)
    path.unlink()
    give(submission)
    manifest = verify_checkpoint(newest(submission)).manifest
    assert manifest is not None
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (manifest.files[0].length, int(THEN * 1e9))
