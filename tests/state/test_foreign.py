"""Files that a program writes its own way become checkpoints when they are finished: once each, whole, in order."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdured.contract.checkpoint.store import list_checkpoints
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.formats import Judged, judge
from perdured.state.submission import Submission
from perdured.supervise import foreign
from perdured.supervise.foreign import QUIET, ForeignFiles, parse_step
from support.disk_jobs import make_submission

THEN = 1_600_000_000.0
"""When files are written, unless told otherwise; LATER they are quiet."""
LATER = THEN + QUIET + 1


def submission_for(workdir: Path, pattern: str, keep: int = 5) -> Submission:
    return make_submission(workdir, f'[checkpoint]\nkeep = {keep}\npattern = "{pattern}"')


def foreign_files(workdir: Path, pattern: str, keep: int = 5) -> ForeignFiles:
    return ForeignFiles(submission_for(workdir, pattern, keep), "job")


def is_finished(path: Path, now: float) -> bool:
    if not path.exists():
        return False
    return foreign.is_finished(path, judge(path), is_quiet=now - path.stat().st_mtime > QUIET)


def write_zip(path: Path, content: bytes = b"tensors" * 100, *, at: float = THEN) -> bytes:
    """As `torch.save` does: a zip whose records are stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    os.utime(path, (at, at))
    return path.read_bytes()


def write_plain(path: Path, content: bytes = b"weights" * 100, *, at: float = THEN) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at, at))


def committed(workdir: Path) -> dict[int, tuple[str, bytes]]:
    """Step to name and bytes of the payload; each checkpoint is whole."""
    found = {}
    for listed in list_checkpoints(workdir / "checkpoints"):
        manifest = verify_checkpoint(listed.path).manifest
        assert verify_checkpoint(listed.path).is_valid
        assert manifest is not None
        name = manifest.files[0].name
        found[listed.step] = (name, (listed.path / name).read_bytes())
    return found


# When a file is finished ----------------------------------------------------------------------------------------------


def test_a_whole_zip_is_finished_at_once(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.pt")
    assert is_finished(tmp_path / "a.pt", THEN)


def test_a_torn_zip_is_never_finished_however_long_it_is_quiet(tmp_path: Path) -> None:
    """Wherever it was cut: the program was killed while it saved."""
    path = tmp_path / "a.pt"
    whole = write_zip(path)
    for length in (0, 1, 2, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        os.utime(path, (THEN, THEN))
        assert not is_finished(path, THEN + 1e6), f"cut at {length} of {len(whole)}"


def test_a_zip_with_a_flipped_bit_is_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    whole = bytearray(write_zip(path))
    whole[len(whole) // 3] ^= 0x10
    path.write_bytes(whole)
    assert not is_finished(path, THEN + 1e6)


@pytest.mark.parametrize(("quiet_for", "finished"), [(0.0, False), (QUIET, False), (QUIET + 0.1, True), (-9.0, False)])
def test_another_format_is_finished_when_it_has_been_quiet(tmp_path: Path, quiet_for: float, finished: bool) -> None:
    write_plain(tmp_path / "a.bin")
    assert is_finished(tmp_path / "a.bin", THEN + quiet_for) is finished


def test_an_empty_file_is_not_finished_and_a_missing_one_neither(tmp_path: Path) -> None:
    write_plain(tmp_path / "a.bin", b"")
    assert not is_finished(tmp_path / "a.bin", LATER)
    assert not is_finished(tmp_path / "b.bin", LATER)


# What step it is of ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("epoch=3-step=1500-v1.ckpt", 1500),
        ("epoch=9-val_loss=0.25.ckpt", 9),
        ("checkpoint-500", 500),
        ("ckpt-001200.pt", 1200),
        ("epoch=3-step=1500.ckpt", 1500),
        ("model.v2.pt", 2),
        ("checkpoint_12", 12),
        ("model.pt", None),
        ("7.pt", 7),
        ("run2-final.pt2", 2),
    ],
)
def test_the_step_is_the_last_number_of_a_name(name: str, step: int | None) -> None:
    assert parse_step(name) == step


def test_numbered_files_keep_their_numbers_as_steps(tmp_path: Path) -> None:
    for number in (1000, 200):
        write_zip(tmp_path / "out" / f"ckpt-{number}.pt", b"%d" % number)
    assert foreign_files(tmp_path, "out/ckpt-*.pt").commit_new_ones(1, LATER) == 2
    assert [(step, name) for step, (name, _) in committed(tmp_path).items()] == [
        (1000, "ckpt-1000.pt"),
        (200, "ckpt-200.pt"),
    ]


def test_a_fixed_name_is_counted_one_step_for_each_version(tmp_path: Path) -> None:
    """A number in it says nothing: it is the same in each version."""
    files = foreign_files(tmp_path, "checkpoint2.pth")
    contents = []
    for version in range(1, 4):
        contents.append(write_zip(tmp_path / "checkpoint2.pth", b"%d" % version, at=THEN + version))
        assert files.commit_new_ones(1, LATER) == 1
    assert {step: data for step, (_, data) in committed(tmp_path).items()} == dict(enumerate(contents, start=1))


def test_a_fixed_name_is_counted_on_by_the_next_daemon(tmp_path: Path) -> None:
    for version in (1, 2):
        write_zip(tmp_path / "checkpoint.pth", b"%d" % version, at=THEN + version)
        assert foreign_files(tmp_path, "checkpoint.pth").commit_new_ones(version, LATER) == 1
    assert set(committed(tmp_path)) == {1, 2}


# Once, whole, in order ------------------------------------------------------------------------------------------------


def test_the_same_version_is_committed_once_also_by_the_next_daemon(tmp_path: Path) -> None:
    write_zip(tmp_path / "out" / "ckpt-1.pt")
    files = foreign_files(tmp_path, "out/ckpt-*.pt")
    assert [files.commit_new_ones(1, LATER) for _ in range(3)] == [1, 0, 0]
    assert foreign_files(tmp_path, "out/ckpt-*.pt").commit_new_ones(2, LATER) == 0
    assert len(committed(tmp_path)) == 1


def test_another_format_is_committed_when_it_is_quiet(tmp_path: Path) -> None:
    write_plain(tmp_path / "w-3.bin", b"weights")
    files = foreign_files(tmp_path, "w-*.bin")
    assert [files.commit_new_ones(1, THEN), files.commit_new_ones(1, LATER)] == [0, 1]
    assert committed(tmp_path) == {3: ("w-3.bin", b"weights")}


def test_what_was_written_on_while_it_was_copied_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w-3.bin"
    write_plain(path, b"old" * 100)
    read = foreign._read_unchanged

    def overtaken(source: Path, version: foreign.Version) -> Iterator[bytes]:
        blocks = read(source, version)
        yield next(blocks)
        write_plain(source, b"new" * 100, at=THEN + 1)
        yield from blocks

    files = foreign_files(tmp_path, "w-*.bin")
    with monkeypatch.context() as patch:
        patch.setattr(foreign, "_read_unchanged", overtaken)
        assert files.commit_new_ones(1, LATER) == 0
    assert committed(tmp_path) == {}
    assert [p.name for p in (tmp_path / "checkpoints").iterdir() if p.name.startswith((".tmp", "step"))] == []
    assert files.commit_new_ones(1, LATER + 1) == 1
    assert committed(tmp_path) == {3: ("w-3.bin", b"new" * 100)}


def test_what_was_replaced_while_it_was_copied_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a rename: the old file can still be read to its end, but it is not what stands under the name."""
    path = tmp_path / "w-3.bin"
    write_plain(path, b"old" * 100)
    read = foreign._read_unchanged

    def overtaken(source: Path, version: foreign.Version) -> Iterator[bytes]:
        blocks = read(source, version)
        yield next(blocks)
        write_plain(tmp_path / "new", b"new" * 101)
        (tmp_path / "new").replace(source)
        yield from blocks

    monkeypatch.setattr(foreign, "_read_unchanged", overtaken)
    assert foreign_files(tmp_path, "w-*.bin").commit_new_ones(1, LATER) == 0


def test_what_vanishes_meanwhile_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs delete their old files; the one that is there is taken."""
    for number in (1, 2):
        write_zip(tmp_path / f"c-{number}.pt")

    def look(path: Path) -> Judged:
        judged = judge(path)
        (tmp_path / "c-1.pt").unlink(missing_ok=True)
        return judged

    monkeypatch.setattr(foreign, "judge", look)
    assert foreign_files(tmp_path, "c-*.pt").commit_new_ones(1, LATER) == 1
    assert set(committed(tmp_path)) == {2}


def test_a_disk_that_refuses_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And raises nothing: the job must not go unsupervised because its checkpoint cannot be copied."""
    write_zip(tmp_path / "c-1.pt")
    files = foreign_files(tmp_path, "c-*.pt")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(foreign, "commit_checkpoint", refuse)
        assert files.commit_new_ones(1, LATER) == 0
    assert files.commit_new_ones(1, LATER) == 1


def test_our_own_copies_are_not_copied_again(tmp_path: Path) -> None:
    """Also where the pattern finds them."""
    write_zip(tmp_path / "c-1.pt")
    files = foreign_files(tmp_path, "**/c-*.pt")
    assert [files.commit_new_ones(1, LATER) for _ in range(3)] == [1, 0, 0]


def test_only_regular_files_are_taken(tmp_path: Path) -> None:
    (tmp_path / "c-1.pt").mkdir()
    os.mkfifo(tmp_path / "c-2.pt")
    (tmp_path / "c-3.pt").symlink_to("nowhere")
    assert foreign_files(tmp_path, "c-*.pt").commit_new_ones(1, LATER) == 0


def test_no_more_are_kept_than_the_spec_says_and_the_programs_own_stay(tmp_path: Path) -> None:
    for number in range(1, 6):
        write_zip(tmp_path / f"c-{number}.pt", at=THEN + number)
    assert foreign_files(tmp_path, "c-*.pt", keep=2).commit_new_ones(1, LATER) == 5
    assert set(committed(tmp_path)) == {5, 4}
    assert len(list(tmp_path.glob("c-*.pt"))) == 5


def test_a_copy_says_whose_it_is(tmp_path: Path) -> None:
    write_zip(tmp_path / "c-1.pt")
    foreign_files(tmp_path, "c-*.pt").commit_new_ones(7, LATER)
    manifest = verify_checkpoint(list_checkpoints(tmp_path / "checkpoints")[0].path).manifest
    assert manifest is not None
    facts = manifest.facts
    assert (facts.job, facts.attempt, facts.series, facts.created_at) == ("job", 7, "c-*.pt", THEN)


# Where to look --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "directory"),
    [
        ("checkpoint.pth", "."),
        ("out/ckpt-*.pt", "out"),
        ("out/run-*/ckpt-*.pt", "out"),
        ("out/**/ckpt.pt", "out"),
        ("*/x.pt", "."),
    ],
)
def test_the_folder_to_watch_is_the_pattern_up_to_its_first_wildcard(
    tmp_path: Path, pattern: str, directory: str
) -> None:
    assert foreign_files(tmp_path, pattern).directory == tmp_path / directory


def test_a_pattern_may_lead_outside_the_workdir(tmp_path: Path) -> None:
    write_zip(tmp_path / "data" / "c-1.pt")
    (tmp_path / "work").mkdir()
    files = foreign_files(tmp_path / "work", f"{tmp_path}/data/c-*.pt")
    assert files.directory == tmp_path / "data"
    assert files.commit_new_ones(1, LATER) == 1


def test_a_folder_that_is_not_there_yet_holds_nothing(tmp_path: Path) -> None:
    assert foreign_files(tmp_path, "out/c-*.pt").commit_new_ones(1, LATER) == 0
