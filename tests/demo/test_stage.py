"""The stage: a right spec, a script that is there, a private folder; and bytes that are flipped and told apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from perdured.contract.checkpoint.commit import commit_checkpoint
from perdured.contract.checkpoint.manifest import Facts
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.demo import stage as stages
from perdured.demo.compare import load_final
from perdured.demo.stage import Scale, Stage, check_torch, clean_environment, find_script
from perdured.demo.wreck import TENSORS, flip_byte
from perdured.errors import PerdureError
from perdured.submission import parse_submission


def test_the_spec_is_right_and_keeps_every_path_in_the_folder(tmp_path: Path) -> None:
    root = tmp_path / 'a "quoted" and ünicode 😀 folder'
    stage = Stage(root, find_script(), Scale(("--epochs", "1"), "5 steps"))
    submission = parse_submission(stage.spec, workdir=root, env={})
    assert list(submission.spec.command) == stage.command
    assert submission.spec.command[-2:] == ("--epochs", "1")
    assert submission.spec.checkpoint.every.steps == 5
    assert submission.checkpoint_dir == stage.disturbed
    assert all(root in path.parents for path in (stage.state.root, stage.socket, stage.disturbed, stage.undisturbed))


def test_without_the_examples_the_demo_says_where_it_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "__file__", "/usr/lib/python3/dist-packages/perdured/demo/stage.py")
    with pytest.raises(PerdureError, match="from a checkout"):
        find_script()


def test_without_torch_the_demo_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "find_spec", lambda _: None)
    with pytest.raises(PerdureError, match="pip install"):
        check_torch()


def test_the_demo_looks_for_torch_without_importing_it() -> None:
    code = (
        "import sys; import perdured.demo.show; import perdured.demo.stage as stage; "
        "stage.find_spec('torch'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


def test_nothing_of_an_outer_perdure_reaches_the_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PERDURE_CHANNEL", "PERDURE_CHECKPOINT_DIR", "PERDURE_SOCKET_PATH", "PERDURE_STATE_DIR"):
        monkeypatch.setenv(name, "outer")
    assert [name for name in clean_environment() if name.startswith("PERDURE_")] == []


def commit(root: Path, step: int, tensors: bytes) -> Path:
    return commit_checkpoint(root, step, {TENSORS: [tensors]}, Facts(job=None, attempt=None, series="run")).path


def test_a_flipped_byte_makes_a_checkpoint_invalid_and_leaves_its_length(tmp_path: Path) -> None:
    path = commit(tmp_path, 10, bytes(100))
    assert verify_checkpoint(path).is_valid
    flip_byte(path / TENSORS)
    assert (path / TENSORS).stat().st_size == 100
    assert not verify_checkpoint(path).is_valid
    flip_byte(path / TENSORS)
    assert verify_checkpoint(path).is_valid


def test_the_last_checkpoints_are_told_apart_by_their_tensors(tmp_path: Path) -> None:
    commit(tmp_path / "a", 10, b"other")
    commit(tmp_path / "a", 20, b"same")
    commit(tmp_path / "b", 20, b"same")
    commit(tmp_path / "c", 20, b"else")
    a, b, c = (load_final(tmp_path / name) for name in "abc")
    assert a == b
    assert a.step == 20
    assert a.digest != c.digest


def test_a_run_without_a_valid_last_checkpoint_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(PerdureError, match="no valid last checkpoint"):
        load_final(tmp_path)
    flip_byte(commit(tmp_path, 10, bytes(10)) / TENSORS)
    with pytest.raises(PerdureError, match="no valid last checkpoint"):
        load_final(tmp_path)
