"""`perdure verify` and the part of `perdure export` that needs no torch."""

from __future__ import annotations

import json
import stat
import sys
import zipfile
from pathlib import Path

import pytest

from perdured.cli import torch_python
from perdured.cli.main import run_cli
from perdured.contract.checkpoint.commit import commit_checkpoint
from perdured.errors import PerdureError
from support.stores import facts_of


def commit(root: Path, step: int, *, healthy: bool = True) -> Path:
    files = {"tensors.safetensors": [b"weights" * 100], "state.json": [b'{"step": %d}' % step]}
    return commit_checkpoint(root, step, files, facts_of(healthy=healthy)).path


def export_all(path: Path, out: Path, *options: str) -> int:
    return run_cli(["export", "--all", *options, str(path), str(out)])


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This interpreter has no torch, and there is none on PATH."""
    monkeypatch.setattr(torch_python, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def verify(path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = run_cli(["verify", str(path)])
    return status, capsys.readouterr().out


def test_a_whole_checkpoint_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = commit(tmp_path, 10)
    assert verify(path, capsys) == (0, f"valid  {path}\n")


def test_one_flipped_bit_is_broken_and_the_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = commit(tmp_path, 10)
    flip_a_bit(path / "tensors.safetensors")
    status, out = verify(path, capsys)
    assert status == 1
    assert f"broken  {path}\n  tensors.safetensors " in out


def test_of_an_unhealthy_one_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is whole, so the exit status is that of a whole one."""
    path = commit(tmp_path, 10, healthy=False)
    status, out = verify(path, capsys)
    assert status == 0
    assert out.startswith(f"valid  {path}\n  unhealthy: saved with a loss that was not finite")
    run_cli(["verify", "--json", str(path)])
    [checked] = json.loads(capsys.readouterr().out)["checked"]
    assert (checked["valid"], checked["healthy"]) == (True, False)


def test_a_missing_commit_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = commit(tmp_path, 10)
    (path / "COMMIT").unlink()
    status, out = verify(path, capsys)
    assert status == 1
    assert "COMMIT" in out


def test_all_checkpoints_of_a_directory_are_checked_newest_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = commit(tmp_path, 10), commit(tmp_path, 20)
    assert verify(tmp_path, capsys) == (0, f"valid  {newer}\nvalid  {older}\n")
    (older / "state.json").write_bytes(b"{}")
    assert verify(tmp_path, capsys)[0] == 1


def test_json_names_each_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = commit(tmp_path, 10)
    (path / "state.json").unlink()
    assert run_cli(["verify", "--json", str(path)]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["schema"], said["valid"]) == (1, False)
    [checked] = said["checked"]
    assert (checked["path"], checked["step"], checked["valid"], checked["healthy"]) == (str(path), 10, False, True)
    assert checked["problems"] == [{"file": "state.json", "what": "is missing"}]


@pytest.mark.parametrize("name", ["checkpoint.pth", "any.name"])
def test_an_archive_as_torch_writes_it_is_checked_by_its_own_checksums(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"x" * 1000)
        archive.writestr("archive/data/0", b"weights" * 1000)
    assert verify(path, capsys)[0] == 0
    flip_a_bit(path)
    status, out = verify(path, capsys)
    assert status == 1
    assert f"broken  {path}\n  {name} " in out
    assert "archive/data/0" in out


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"garbage"])
def test_a_cut_or_foreign_archive_is_broken_and_no_crash(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    status, out = verify(path, capsys)
    assert status == 1
    assert "checkpoint.pth" in out


def test_a_link_into_a_checkpoint_stands_for_the_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = commit(tmp_path / "all", 10)
    (tmp_path / "checkpoint.pth").symlink_to(path / "state.json")
    assert verify(tmp_path / "checkpoint.pth", capsys) == (0, f"valid  {path}\n")


def test_a_file_of_perdure_save_is_checked_by_the_hashes_of_its_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is a hard link to the committed one. One that is not any more is judged by itself."""
    root = tmp_path / "checkpoint.pth.checkpoints"
    committed = commit_checkpoint(root, 10, {"checkpoint.pth": [b"no archive"]}, facts_of()).path
    published = tmp_path / "checkpoint.pth"
    published.hardlink_to(committed / "checkpoint.pth")
    assert verify(published, capsys) == (0, f"valid  {committed}\n")
    published.unlink()
    published.write_bytes(b"no archive")
    assert verify(published, capsys)[0] == 1


@pytest.mark.parametrize("what", ["nothing", "empty", "text"])
def test_what_is_no_checkpoint_is_bad_usage(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    assert verify(tmp_path / what, capsys) == (2, "")


def test_all_tensors_are_exported_as_they_are_and_no_torch_is_needed(tmp_path: Path, without_torch: None) -> None:
    path = commit(tmp_path / "all", 10)
    out = tmp_path / "out.safetensors"
    assert export_all(path, out) == 0
    assert out.read_bytes() == (path / "tensors.safetensors").read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["all", "out.safetensors"]


def test_of_a_directory_the_newest_whole_checkpoint_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = commit(tmp_path / "all", 10), commit(tmp_path / "all", 20)
    flip_a_bit(newer / "tensors.safetensors")
    assert export_all(tmp_path / "all", tmp_path / "out.safetensors") == 0
    said = capsys.readouterr().err
    assert f"{newer} is not used: tensors.safetensors" in said
    assert f"from {older}" in said


def test_of_a_directory_the_newest_healthy_checkpoint_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newer = commit(tmp_path / "all", 10), commit(tmp_path / "all", 20, healthy=False)
    assert export_all(tmp_path / "all", tmp_path / "out.safetensors") == 0
    said = capsys.readouterr().err
    assert f"{newer} is not used: unhealthy" in said
    assert f"from {older}" in said


def test_an_unhealthy_checkpoint_is_exported_only_by_name_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = commit(tmp_path / "all", 10, healthy=False)
    assert export_all(tmp_path / "all", tmp_path / "out.safetensors") == 1
    assert "no whole and healthy checkpoint" in capsys.readouterr().err
    assert export_all(path, tmp_path / "out.safetensors") == 0
    assert f"{path} is unhealthy" in capsys.readouterr().err


def test_one_object_and_all_are_not_asked_for_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = commit(tmp_path / "all", 10)
    assert export_all(path, tmp_path / "out.safetensors", "--only", "model") == 2
    assert "--only and --all" in capsys.readouterr().err


def test_a_broken_checkpoint_is_never_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = commit(tmp_path / "all", 10)
    flip_a_bit(path / "tensors.safetensors")
    assert run_cli(["export", str(path), str(tmp_path / "out.safetensors")]) == 1
    assert "tensors.safetensors" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("name", ["out.safetensors", "out.txt"])
def test_nothing_is_overwritten_and_no_unknown_kind_is_written(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = commit(tmp_path / "all", 10)
    (tmp_path / "out.safetensors").write_text("precious")
    assert run_cli(["export", str(path), str(tmp_path / name)]) == 2
    assert (tmp_path / "out.safetensors").read_text() == "precious"
    assert export_all(path, tmp_path / "out.safetensors", "--force") == 0
    assert (tmp_path / "out.safetensors").read_text() != "precious"


def make_python(path: Path, script: str) -> Path:
    """Something that is called like an interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_any_torch_the_message_says_where_it_looked(without_torch: None) -> None:
    with pytest.raises(PerdureError, match="No Python with torch") as caught:
        torch_python.find_torch_python()
    assert sys.executable in caught.value.why
    assert "--python" in caught.value.todo


def test_the_active_environment_comes_before_the_path(
    without_torch: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = make_python(tmp_path / "path" / "python3", "exit 0")
    assert torch_python.find_torch_python() == str(on_path)
    active = make_python(tmp_path / "venv" / "bin" / "python", "exit 0")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    assert torch_python.find_torch_python() == str(active)
    make_python(active, "exit 1")
    assert torch_python.find_torch_python() == str(on_path)


def test_a_python_that_was_named_is_taken_or_refused_and_never_replaced(without_torch: None, tmp_path: Path) -> None:
    make_python(tmp_path / "path" / "python3", "exit 0")
    with pytest.raises(PerdureError, match="has no torch"):
        torch_python.find_torch_python(make_python(tmp_path / "named", "exit 1"))
    with pytest.raises(PerdureError, match="has no torch"):
        torch_python.find_torch_python(tmp_path / "gone")


def test_a_module_that_fails_tells_its_last_words(tmp_path: Path) -> None:
    python = make_python(tmp_path / "python", "echo one >&2; echo Error: the last >&2; exit 3")
    with pytest.raises(PerdureError, match="Error: the last"):
        torch_python.run_module(str(python), "perdure.export", [])


def test_perdure_is_brought_along_for_an_interpreter_that_lacks_it(tmp_path: Path) -> None:
    """Shown in an interpreter that has no packages at all; a module that it did not find would be an error."""
    python = make_python(tmp_path / "python", f'exec {sys.executable} -I -S "$@"')
    torch_python.run_module(str(python), "perdured.contract.exits", [])
    with pytest.raises(PerdureError, match="No module named"):
        torch_python.run_module(str(python), "perdured.contract.nothing", [])


@pytest.mark.parametrize("verb", ["verify", "export"])
def test_what_is_neither_file_nor_directory_is_bad_usage(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [str(tmp_path / "o.pth")] if verb == "export" else []
    assert run_cli([verb, "/dev/null", *out]) == 2
    assert "There is no checkpoint at /dev/null" in capsys.readouterr().err


def test_export_makes_no_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit(tmp_path / "run", 1)
    assert export_all(tmp_path / "run", tmp_path / "nowhere" / "o.safetensors") == 2
    assert "does not exist" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()
