"""What a drill breaks can be put right again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perdured.contract.checkpoint.commit import commit_checkpoint
from perdured.contract.checkpoint.manifest import Facts
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.drill.means import ASIDE, break_checkpoint, drop_copy, mend_checkpoint, open_process, prepare_copy
from perdured.errors import WrongState


def commit(root: Path, step: int) -> Path:
    facts = Facts(job="gpt", attempt=1, series="run")
    files = {"large.bin": [os.urandom(5000)], "small.bin": [b"abc"], "empty.bin": [b""]}
    return commit_checkpoint(root, step, files, facts).path


def test_a_broken_checkpoint_becomes_whole_again(tmp_path: Path) -> None:
    commit(tmp_path, 1)
    newest = commit(tmp_path, 2)
    broken = prepare_copy(tmp_path)
    assert broken.checkpoint == newest
    assert verify_checkpoint(newest).is_valid, "nothing is touched before the copy is there"
    break_checkpoint(broken)
    verdict = verify_checkpoint(newest)
    assert [problem.file for problem in verdict.problems] == ["small.bin"], "the smallest that has a byte"
    assert broken.aside.read_bytes() == b"abc"
    assert mend_checkpoint(broken)
    assert verify_checkpoint(newest).is_valid
    assert not (tmp_path / ASIDE).exists()


def test_of_a_checkpoint_that_was_set_aside_the_whole_file_is_kept(tmp_path: Path) -> None:
    commit(tmp_path, 1)
    newest = commit(tmp_path, 2)
    broken = prepare_copy(tmp_path)
    break_checkpoint(broken)
    newest.rename(tmp_path / "elsewhere")
    assert not mend_checkpoint(broken)
    drop_copy(broken)
    assert broken.aside.read_bytes() == b"abc"


def test_the_only_checkpoint_is_never_broken(tmp_path: Path) -> None:
    commit(tmp_path, 1)
    with pytest.raises(WrongState, match="no checkpoint to spare"):
        prepare_copy(tmp_path)
    assert not (tmp_path / ASIDE).exists()


def test_a_process_that_is_gone_is_told_and_nobody_else_is_hit() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(WrongState, match="is gone"):
        open_process(process.pid)
