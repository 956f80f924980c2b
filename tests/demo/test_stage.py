"""The stage: a right spec, a script that is there, a private folder; and bytes that are flipped and told apart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from perdured.contract.checkpoint.commit import commit_checkpoint
from perdured.contract.checkpoint.manifest import Facts
from perdured.contract.checkpoint.verify import verify_checkpoint
from perdured.demo import stage as stages
from perdured.demo.compare import hash_tensors, load_final
from perdured.demo.stage import Scale, Stage, check_torch, clean_environment, find_script
from perdured.demo.wreck import TENSORS, flip_byte
from perdured.errors import PerdureError
from perdured.state.submission import parse_submission


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


def make_tensors(**tensors: bytes) -> bytes:
    """A file in the safetensors layout; in names, `_` stands for `.`."""
    header, data = {}, b""
    for name, value in tensors.items():
        offsets = [len(data), len(data) + len(value)]
        header[name.replace("_", ".")] = {"dtype": "U8", "shape": [len(value)], "data_offsets": offsets}
        data += value
    text = json.dumps({"__metadata__": {"format": "pt"}} | header).encode()
    return len(text).to_bytes(8, "little") + text + data


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


def test_the_last_checkpoint_of_a_run_counts(tmp_path: Path) -> None:
    commit(tmp_path / "a", 10, make_tensors(model_weight=b"old"))
    commit(tmp_path / "a", 20, make_tensors(model_weight=b"new"))
    commit(tmp_path / "b", 20, make_tensors(model_weight=b"new"))
    assert load_final(tmp_path / "a") == load_final(tmp_path / "b")
    assert load_final(tmp_path / "a").step == 20


def test_runs_are_told_apart_by_any_bit_of_model_and_optimizer_and_by_nothing_else(tmp_path: Path) -> None:
    digests = []
    for tensors in (
        make_tensors(model_weight=b"abc", optimizer_step=b"1"),
        make_tensors(rng_numpy=b"own", optimizer_step=b"1", model_weight=b"abc"),
        make_tensors(model_weight=b"abd", optimizer_step=b"1"),
        make_tensors(model_weight=b"abc", optimizer_step=b"2"),
        make_tensors(model_weight=b"abc"),
        make_tensors(model_bias=b"abc", optimizer_step=b"1"),
    ):
        (tmp_path / TENSORS).write_bytes(tensors)
        digests.append(hash_tensors(tmp_path / TENSORS))
    assert digests[0] == digests[1]
    assert len(set(digests)) == len(digests) - 1


def test_a_run_without_a_valid_last_checkpoint_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(PerdureError, match="no valid last checkpoint"):
        load_final(tmp_path)
    flip_byte(commit(tmp_path, 10, bytes(10)) / TENSORS)
    with pytest.raises(PerdureError, match="no valid last checkpoint"):
        load_final(tmp_path)
