"""Listing, choosing where to resume, and setting aside."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from perdured.contract.checkpoint import (
    CheckpointName,
    choose_checkpoint,
    forgive_lost,
    list_checkpoints,
    quarantine,
    verify_checkpoint,
)
from perdured.contract.checkpoint.layout import COMMIT, MANIFEST
from perdured.contract.checkpoint.reasons import reason_of
from support.crashes import load_tree
from support.damage import DAMAGES, Damage, seal
from support.faults import Fault, FullDisk, Kernel, installed
from support.stores import commit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def _break(path: Path) -> None:
    (path / "a.bin").write_bytes(b"not what was written")


def _chosen_step(root: Path) -> int | None:
    chosen = choose_checkpoint(root).chosen
    return None if chosen is None else chosen.step


# Listing ---------------------------------------------------------------------------------------------------------


def test_a_root_that_is_not_there_is_empty(root: Path) -> None:
    assert list_checkpoints(root) == []


def test_the_newest_is_first_by_step_then_sequence_whatever_the_clock_says(root: Path) -> None:
    """A job that went back to an older step, and files whose times are in the wrong order."""
    for number, step in enumerate([10, 30, 20, 30, 5]):
        path = commit(root, step).path
        os.utime(path / COMMIT, (1e9 - number, 1e9 - number))
        os.utime(path, (1e9 - number, 1e9 - number))
    assert [(listed.step, listed.seq) for listed in list_checkpoints(root)] == [
        (30, 4),
        (30, 2),
        (20, 3),
        (10, 1),
        (5, 5),
    ]


def test_only_directories_with_commit_and_a_name_of_ours_are_listed(root: Path, tmp_path: Path) -> None:
    whole = commit(root, 10).path
    (root / "step-000000000020-000002").mkdir()
    (root / "step-000000000030-000003").write_text("a file")
    (root / "step-000000000040-000004").symlink_to(whole)
    (root / "step-40").mkdir()
    (root / "step-40" / COMMIT).touch()
    assert [listed.path for listed in list_checkpoints(root)] == [whole]


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE, errno.EMFILE], ids=errno.errorcode.get)
def test_a_root_that_cannot_be_read_is_not_an_empty_one(error: int, root: Path) -> None:
    """Neither for the listing nor for the choice, which would start afresh."""
    commit(root, 10)
    for read in (list_checkpoints, choose_checkpoint):
        with installed(Kernel(Fault(1, error=error))), pytest.raises(OSError, match=os.strerror(error)):
            read(root)


# Choosing --------------------------------------------------------------------------------------------------------


def test_nothing_is_chosen_from_nothing_and_nothing_existed(root: Path) -> None:
    for _ in range(2):
        choice = choose_checkpoint(root)
        assert (choice.chosen, choice.manifest, choice.rejected, choice.existed) == (None, None, (), False)
        root.mkdir(exist_ok=True)


def test_the_newest_is_chosen(root: Path) -> None:
    commit(root, 10)
    newest = commit(root, 20)
    choice = choose_checkpoint(root)
    assert choice.chosen is not None
    assert choice.chosen.path == newest.path
    assert choice.manifest == verify_checkpoint(newest.path).manifest
    assert choice.existed


def test_choosing_changes_nothing(root: Path) -> None:
    commit(root, 10)
    _break(commit(root, 20).path)
    before = load_tree(root)
    with installed(Kernel()) as kernel:
        choose_checkpoint(root)
    assert load_tree(root) == before
    changing = {"create", "write", "mkdir", "rename", "link", "unlink", "rmdir", "fsync", "fsyncdir"}
    assert not changing & {call.name for call in kernel.calls}


@pytest.mark.parametrize("damage", [damage for damage in DAMAGES if not damage.is_unknown], ids=lambda d: d.name)
def test_the_next_older_is_chosen_when_the_newest_is_damaged(damage: Damage, root: Path) -> None:
    """And the damaged one is handed to the caller, with the reason."""
    commit(root, 5)
    older = commit(root, 7).path
    newest = commit(root, 10).path
    if newest.name != "step-000000000010-000001":
        seal(newest, seq=3)
    damage.apply(newest)
    choice = choose_checkpoint(root)
    assert choice.chosen is not None
    assert choice.chosen.path == older
    # Without COMMIT it is no checkpoint at all, and so nothing was rejected.
    assert [path for path, _ in choice.rejected] == ([newest] if (newest / COMMIT).exists() else [])


def test_when_all_are_broken_nothing_is_chosen_and_it_is_said_that_some_existed(root: Path) -> None:
    """The caller must not start afresh on its own."""
    paths = [commit(root, step).path for step in (10, 20)]
    for path in paths:
        _break(path)
    choice = choose_checkpoint(root)
    assert choice.chosen is None
    assert choice.existed
    assert [path for path, _ in choice.rejected] == paths[::-1]


def test_an_unhealthy_one_is_passed_over_and_not_rejected(root: Path) -> None:
    commit(root, 10)
    commit(root, 20, healthy=False)
    choice = choose_checkpoint(root)
    assert (_chosen_step(root), choice.rejected) == (10, ())


def test_unhealthy_ones_alone_count_as_existing(root: Path) -> None:
    commit(root, 20, healthy=False)
    choice = choose_checkpoint(root)
    assert (choice.chosen, choice.rejected, choice.existed) == (None, (), True)


@pytest.mark.parametrize("damage", [damage for damage in DAMAGES if damage.is_unknown], ids=lambda d: d.name)
def test_the_choice_stops_at_what_it_cannot_judge(damage: Damage, root: Path) -> None:
    """A newer Perdure's checkpoint: to resume from an older one would throw away work without a word."""
    _break(commit(root, 30).path)
    newest = commit(root, 20).path
    older = commit(root, 10).path
    seal(newest, seq=2)
    damage.apply(newest)
    choice = choose_checkpoint(root)
    assert choice.chosen is None
    assert choice.existed
    assert choice.stopped_by is not None
    assert choice.stopped_by[0] == newest
    assert choice.stopped_by[1].is_unknown
    assert newest not in [path for path, _ in choice.rejected]
    assert verify_checkpoint(older).is_valid


def test_what_cannot_be_judged_does_not_stop_the_choice_below_it(root: Path) -> None:
    """When asked for something older, it is not looked at."""
    commit(root, 10)
    seal(commit(root, 20).path, format=2)
    choice = choose_checkpoint(root, below=CheckpointName(20, 2))
    assert choice.chosen is not None


def test_each_series_is_chosen_from_by_itself(root: Path) -> None:
    commit(root, 10, series="a")
    commit(root, 20, series="b")
    commit(root, 30)
    for series, step in (("a", 10), ("b", 20), (None, 30)):
        choice = choose_checkpoint(root, series=series)
        assert choice.chosen is not None
        assert choice.chosen.step == step


def test_another_series_is_not_a_checkpoint_that_existed(root: Path) -> None:
    """The first start of a new series beside an old one is a fresh start."""
    commit(root, 10, series="a")
    choice = choose_checkpoint(root, series="b")
    assert (choice.chosen, choice.existed) == (None, False)


def test_one_whose_series_cannot_be_read_existed_in_every_series(root: Path) -> None:
    (commit(root, 10, series="a").path / MANIFEST).write_bytes(b"garbage")
    choice = choose_checkpoint(root, series="b")
    assert choice.existed
    assert len(choice.rejected) == 1


def test_a_broken_one_of_another_series_is_left_to_that_series(root: Path) -> None:
    commit(root, 10, series="b")
    _break(commit(root, 20, series="a").path)
    choice = choose_checkpoint(root, series="b")
    assert choice.chosen is not None
    assert not choice.rejected


def test_only_what_is_older_than_the_limit_is_chosen_and_the_rest_still_existed(root: Path) -> None:
    """By (step, seq), excluding the limit itself."""
    commit(root, 10)
    commit(root, 20)
    commit(root, 20)
    for below, seq in ((CheckpointName(20, 3), 2), (CheckpointName(20, 2), 1)):
        chosen = choose_checkpoint(root, below=below).chosen
        assert chosen is not None
        assert chosen.seq == seq
    choice = choose_checkpoint(root, below=CheckpointName(10, 1))
    assert (choice.chosen, choice.existed) == (None, True)


def test_without_hashes_only_the_bytes_go_unread(root: Path) -> None:
    commit(root, 10)
    path = commit(root, 20).path
    (path / "a.bin").write_bytes(b"X" * (path / "a.bin").stat().st_size)
    assert [choose_checkpoint(root, hashes=hashes).chosen is not None for hashes in (False, True)] == [True, True]
    fast, sure = (choose_checkpoint(root, hashes=hashes).chosen for hashes in (False, True))
    assert fast is not None
    assert sure is not None
    assert (fast.step, sure.step) == (20, 10)


def test_debris_is_never_looked_into(root: Path) -> None:
    """What lies in it makes no difference, be it a whole checkpoint."""
    commit(root, 10)
    whole = commit(root, 20).path
    whole.rename(root / ".tmp-000002-0123456789ab")
    with installed(Kernel()) as kernel:
        assert choose_checkpoint(root).chosen is not None
    assert not [call for call in kernel.calls if ".tmp-" in call.path]


def test_one_that_is_deleted_while_it_is_read_is_neither_chosen_nor_rejected(root: Path) -> None:
    """Retention in another process was faster; there is nothing to quarantine."""
    commit(root, 10)
    newest = commit(root, 20).path

    class Deleting(Kernel):
        def preadv(self, descriptor: int, buffers: list[memoryview], offset: int) -> int:
            if newest.exists():
                newest.rename(root / ".trash-000002-0123456789ab")
                (root / ".trash-000002-0123456789ab" / "a.bin").write_bytes(b"")
            return super().preadv(descriptor, buffers, offset)

    with installed(Deleting()):
        choice = choose_checkpoint(root)
    assert choice.chosen is not None
    assert choice.chosen.step == 10
    assert not choice.rejected


@pytest.mark.parametrize(
    "error", [errno.EIO, errno.EACCES, errno.EMFILE, errno.ENOENT, errno.ESTALE], ids=errno.errorcode.get
)
@pytest.mark.parametrize("forever", [False, True], ids=["once", "for ever"])
def test_an_error_at_any_call_never_makes_a_fresh_start(error: int, forever: bool, root: Path) -> None:
    """It goes up, or stops the choice, or costs the one that could not be read. ENOENT for ever is an empty root."""
    commit(root, 10)
    commit(root, 20)
    with installed(Kernel()) as kernel:
        choose_checkpoint(root)
    for number in range(1, len(kernel.calls) + 1):
        with installed(Kernel(Fault(number, error=error, forever=forever))):
            try:
                choice = choose_checkpoint(root)
            except OSError:
                continue
        is_gone = error == errno.ENOENT and kernel.calls[number - 1].name in ("listdir", "lstat")
        assert choice.existed or choice.chosen is not None or is_gone, (number, kernel.calls[number - 1])
        assert choice.chosen is not None or choice.rejected or choice.stopped_by or is_gone, number


# What lies in the quarantine -------------------------------------------------------------------------------------


def _existed(root: Path, series: str = "run") -> bool:
    choice = choose_checkpoint(root, series=series)
    assert choice.chosen is None
    assert choice.existed == bool(choice.lost)
    return choice.existed


def test_one_in_the_quarantine_existed_at_every_later_choice(root: Path) -> None:
    """Or a run whose last checkpoint was set aside would begin again at the second start."""
    target = quarantine(commit(root, 10).path, "broken")
    for _ in range(2):
        assert choose_checkpoint(root).lost == (target,)
        assert _existed(root)


def test_it_matters_only_where_nothing_is_chosen(root: Path) -> None:
    commit(root, 10)
    quarantine(commit(root, 20).path, "broken")
    choice = choose_checkpoint(root)
    assert (_chosen_step(root), choice.lost) == (10, ())


@pytest.mark.parametrize("how", ["on purpose", "forgiven", "removed", "brought back and removed"])
def test_what_is_settled_counts_no_more(how: str, root: Path) -> None:
    path = commit(root, 10).path
    target = quarantine(path, "broken", counts=how != "on purpose")
    if how == "forgiven":
        forgive_lost(root, "run")
        reason = json.loads(reason_of(target).read_text())
        assert reason == {"name": path.name, "why": "broken; a fresh start was asked for since", "counts": False}
    if how == "brought back and removed":
        target.rename(path)
        assert _chosen_step(root) == 10
        target = path
    if how != "forgiven":
        shutil.rmtree(target)
    assert not _existed(root)


@pytest.mark.parametrize("reason", [None, b"", b"{}", b"[]", b"\xff", b'{"counts": 0}', b'{"counts": "false"}'])
def test_one_without_a_reason_that_says_otherwise_counts(reason: bytes | None, root: Path) -> None:
    """As a full disk or a kill leaves it."""
    target = quarantine(commit(root, 10).path, "on purpose", counts=False)
    reason_of(target).unlink()
    if reason is not None:
        reason_of(target).write_bytes(reason)
    assert _existed(root)


def test_each_series_has_its_own_losses(root: Path) -> None:
    quarantine(commit(root, 10, series="a").path, "broken")
    assert [_existed(root, series) for series in ("a", "b")] == [True, False]
    forgive_lost(root, "b")
    assert _existed(root, "a")


def test_one_whose_series_cannot_be_read_is_lost_to_every_series(root: Path) -> None:
    (quarantine(commit(root, 10, series="a").path, "broken") / MANIFEST).write_bytes(b"garbage")
    assert [_existed(root, series) for series in ("a", "b")] == [True, True]


def test_a_second_one_of_the_same_name_counts_too(root: Path) -> None:
    """It lies there under a name with a number behind it."""
    path = commit(root, 10).path
    quarantine(path, "on purpose", counts=False).rename(path)
    target = quarantine(path, "broken")
    assert target.name == f"{path.name}.1", "the reason of the first says nothing of it"
    assert choose_checkpoint(root).lost == (target,)


def test_other_things_in_the_quarantine_are_no_checkpoints(root: Path) -> None:
    (root / "quarantine" / "notes").mkdir(parents=True)
    (root / "quarantine" / "step-000000000010-000001").write_text("a file")
    (root / "quarantine" / "step-000000000010-000002.reason.json").write_text("{}")
    assert not _existed(root)


def test_a_quarantine_that_cannot_be_read_is_not_an_empty_one(root: Path) -> None:
    quarantine(commit(root, 10).path, "broken")
    with installed(Kernel()) as kernel:
        choose_checkpoint(root)
    number = next(n for n, call in enumerate(kernel.calls, 1) if call.path.endswith("quarantine"))
    with installed(Kernel(Fault(number, error=errno.EACCES))), pytest.raises(PermissionError):
        choose_checkpoint(root)


# Setting aside ---------------------------------------------------------------------------------------------------


def test_a_checkpoint_set_aside_is_whole_in_the_quarantine_with_the_reason(root: Path) -> None:
    path = commit(root, 10).path
    before = load_tree(path)
    target = quarantine(path, "chunk 3 of a.bin\nis wrong")
    assert target == root / "quarantine" / path.name
    assert not path.exists()
    assert load_tree(target) == before
    reason = json.loads(target.with_name(target.name + ".reason.json").read_text())
    assert reason == {"name": path.name, "why": "chunk 3 of a.bin\nis wrong", "counts": True}


def test_a_second_one_of_the_same_name_gets_another(root: Path) -> None:
    """Nothing in the quarantine is ever replaced."""
    targets = []
    for text in (b"one", b"two", b"three"):
        path = root / "step-000000000010-000001"
        path.mkdir(parents=True)
        (path / "a.bin").write_bytes(text)
        targets.append(quarantine(path, "again"))
    assert [target.name for target in targets] == [f"step-000000000010-000001{end}" for end in ("", ".1", ".2")]
    assert [(target / "a.bin").read_bytes() for target in targets] == [b"one", b"two", b"three"]


def test_a_free_name_that_is_refused_ends_the_search(root: Path) -> None:
    """It would go on for ever, from number to number."""

    class Refusing(Kernel):
        def renameat2(self, source: Path, target: Path) -> None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(source), None, str(target))

    path = commit(root, 10).path
    with installed(Refusing()), pytest.raises(FileExistsError):
        quarantine(path, "a test")
    assert verify_checkpoint(path).is_valid


def test_what_is_set_aside_is_not_listed_and_its_number_not_given_again(root: Path) -> None:
    commit(root, 10)
    quarantine(commit(root, 20).path, "a test")
    for claim in root.glob(".seq-*"):
        claim.unlink()
    assert _chosen_step(root) == 10
    assert commit(root, 30).seq == 3


@pytest.mark.parametrize(
    "name", ["", "etc", "quarantine", ".tmp-000001-0123456789ab", "step-1", "step-000000000010-000001.1"]
)
def test_only_checkpoints_are_set_aside(name: str, root: Path) -> None:
    (root / name).mkdir(parents=True)
    with pytest.raises(ValueError, match="not the name of a checkpoint"):
        quarantine(root / name, "a test")
    assert (root / name).exists()


def test_one_that_is_gone_already_is_an_error(root: Path) -> None:
    """Another process was faster."""
    path = commit(root, 10).path
    quarantine(path, "a test")
    with pytest.raises(FileNotFoundError):
        quarantine(path, "a test")


def test_a_quarantine_that_is_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    """It could lead anywhere."""
    path = commit(root, 10).path
    (tmp_path / "elsewhere").mkdir()
    (root / "quarantine").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError):
        quarantine(path, "a test")
    assert verify_checkpoint(path).is_valid


def test_a_full_disk_does_not_keep_from_setting_aside(root: Path) -> None:
    """Only the reason is missing then."""
    path = commit(root, 10).path
    with installed(FullDisk()):
        target = quarantine(path, "a test")
    assert target.exists()
    assert not path.exists()
