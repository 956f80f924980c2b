"""A checkpoint as one plain file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import perdure
from perdure import export
from perdured.cli.main import run_cli
from perdured.contract import environment
from perdured.contract.checkpoint import list_checkpoints
from support.trees import freeze

pytestmark = pytest.mark.torch


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
        self.b.weight = self.a.weight


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    model = Tied()
    optimizer = torch.optim.AdamW(model.parameters())
    model.a(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    with perdure.Run(model=model, optimizer=optimizer, values={"best": 0.5}) as run:
        for _ in run.epochs(2):
            run.report()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}


def newest(root: str = "checkpoints") -> Path:
    return list_checkpoints(Path(root))[0].path


def test_a_pth_is_what_people_save_by_hand(saved: dict[str, Any]) -> None:
    assert export.main(["checkpoints", "x.pth"]) == 0
    found = torch.load("x.pth", weights_only=True)
    assert freeze(found["model_state_dict"]) == freeze(saved["model"])
    assert freeze(found["optimizer_state_dict"]) == freeze(saved["optimizer"])
    assert (found["step"], found["epoch"], found["values"]) == (2, 2, {"best": 0.5})
    Tied().load_state_dict(found["model_state_dict"])


def test_a_safetensors_has_the_model_by_its_own_names(saved: dict[str, Any]) -> None:
    assert export.main([str(newest()), "x.safetensors"]) == 0
    assert freeze(dict(sorted(load_file("x.safetensors").items()))) == freeze(dict(sorted(saved["model"].items())))


def test_the_command_line_means_the_same(saved: dict[str, Any]) -> None:
    """`perdure export` and `python -m perdure.export`, byte for byte, whatever is asked for."""
    for number, (options, kind) in enumerate(
        [([], ".safetensors"), (["--all"], ".safetensors"), (["--only", "optimizer"], ".safetensors"), ([], ".pth")]
    ):
        ours, theirs = f"module{number}{kind}", f"command{number}{kind}"
        assert export.main(["checkpoints", ours, *options]) == 0
        assert run_cli(["export", "checkpoints", theirs, *options]) == 0
        assert Path(ours).read_bytes() == Path(theirs).read_bytes(), options


def test_what_was_verified_a_moment_ago_is_not_read_twice(
    saved: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`perdure export` has verified it, and says so: of a large checkpoint that is half of the time."""
    asked: list[list[str]] = []
    monkeypatch.setattr("perdured.cli.verbs.export.run_module", lambda *words: asked.append(words[-1]))
    assert run_cli(["export", "checkpoints", "x.pth"]) == 0
    assert asked == [[str(newest()), "x.pth", "--verified"]]
    tensors = newest() / "tensors.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)
    assert export.main([*asked[0]]) == 0
    assert export.main([str(newest()), "y.pth"]) == 1


def test_all_has_every_tensor_by_its_place(saved: dict[str, Any]) -> None:
    assert export.main(["checkpoints", "x.safetensors", "--all"]) == 0
    assert {"model.a.weight", "optimizer.state.0.exp_avg", "rng.torch"} <= load_file("x.safetensors").keys()
    assert Path("x.safetensors").read_bytes() == (newest() / "tensors.safetensors").read_bytes()


def test_where_there_is_no_model_nothing_else_is_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with perdure.Run(net=nn.Linear(2, 2)) as run:
        run.report()
    assert export.main(["checkpoints", "x.safetensors"]) == 1
    said = capsys.readouterr().err
    assert "there is no model in it\nit has net" in said
    assert "--only" in said
    assert export.main(["checkpoints", "x.safetensors", "--only", "net"]) == 0
    assert set(load_file("x.safetensors")) == {"weight", "bias"}


def test_of_a_directory_the_newest_healthy_one_is_taken(
    saved: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """An unhealthy one has to be named, and then it is said."""
    model = Tied()
    with perdure.Run(model=model, optimizer=torch.optim.AdamW(model.parameters())) as run:
        run.report(loss=float("nan"))
    capsys.readouterr()
    assert export.main(["checkpoints", "x.pth"]) == 0
    assert torch.load("x.pth")["step"] == 2
    assert not capsys.readouterr().err
    assert export.main([str(newest()), "x.pth"]) == 0
    assert torch.load("x.pth")["step"] == 3
    assert "is unhealthy" in capsys.readouterr().err


def test_where_all_are_unhealthy_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with perdure.Run(model=Tied()) as run:
        run.report(loss=float("nan"))
    assert export.main(["checkpoints", "x.pth"]) == 1
    assert "no healthy checkpoint" in capsys.readouterr().err


def test_one_object_alone(saved: dict[str, Any]) -> None:
    assert export.main(["checkpoints", "x.safetensors", "--only", "optimizer"]) == 0
    assert "state.0.exp_avg" in load_file("x.safetensors")
    assert export.main(["checkpoints", "x.pt", "--only", "optimizer"]) == 0
    assert set(torch.load("x.pt")) == {"optimizer_state_dict", "step", "epoch", "values"}


def test_what_perdure_save_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    perdure.save({"epoch": 1, "model_state_dict": {"w": torch.ones(2)}}, "a.pth")
    assert export.main(["a.pth.checkpoints", "x.pth"]) == 0
    assert torch.load("x.pth")["epoch"] == 1
    assert not Path("x.pth").samefile(newest("a.pth.checkpoints") / "a.pth"), "who writes to it harms no checkpoint"
    assert export.main(["a.pth.checkpoints", "x.safetensors"]) == 0
    assert load_file("x.safetensors")["w"].tolist() == [1, 1]
    assert export.main(["a.pth.checkpoints", "y.pth", "--only", "model_state_dict"]) == 2


def test_a_state_that_was_saved_by_itself_is_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    perdure.save(nn.Linear(2, 2).state_dict(), "a.pth")
    assert export.main(["a.pth.checkpoints", "x.safetensors"]) == 0
    assert set(load_file("x.safetensors")) == {"weight", "bias"}


@pytest.mark.parametrize("place", ["beside it", "in the job's directory", "nowhere"])
def test_a_file_of_torch_save_is_exported_wherever_its_checkpoints_lie(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`verify` takes it as well."""
    monkeypatch.chdir(tmp_path)
    if place == "in the job's directory":
        monkeypatch.setenv(environment.CHECKPOINT_DIR, "job")
    save = torch.save if place == "nowhere" else perdure.save
    save({"epoch": 1, "model_state_dict": {"w": torch.ones(2)}}, "a.pth")
    for run in (export.main, lambda arguments: run_cli(["export", "--force", *arguments])):
        assert run(["a.pth", "x.pth"]) == 0
        assert torch.load("x.pth")["epoch"] == 1
        assert run(["a.pth", "x.safetensors"]) == 0
        assert load_file("x.safetensors")["w"].tolist() == [1, 1]


def test_a_damaged_file_of_torch_save_is_not_exported(
    saved: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"w": torch.ones(99)}, "a.pth")
    data = bytearray(Path("a.pth").read_bytes())
    data[len(data) // 2] ^= 1
    Path("a.pth").write_bytes(data)
    assert export.main(["a.pth", "x.pth"]) == 1
    assert "is damaged" in capsys.readouterr().err
    assert not Path("x.pth").exists()


def test_a_broken_one_is_not_exported(saved: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    path = newest()
    data = bytearray((path / "tensors.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "tensors.safetensors").write_bytes(data)
    assert export.main([str(path), "x.pth"]) == 1
    assert "tensors.safetensors: has other bytes" in capsys.readouterr().err
    assert not Path("x.pth").exists()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["nowhere", "x.pth"], 1), (["checkpoints", "x.bin"], 2), (["checkpoints", "x.pt/y.pt"], 2)],
)
def test_what_cannot_be_done_is_told(
    arguments: list[str], status: int, saved: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x.pt").touch()
    assert export.main(arguments) == status
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_an_object_that_is_not_in_it_is_told(saved: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["checkpoints", "x.safetensors", "--only", "scaler"]) == 1
    assert "it has model, optimizer" in capsys.readouterr().err


def test_it_runs_as_a_program(saved: dict[str, Any]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "perdure.export", "checkpoints", "x.safetensors"], timeout=50, check=False
    )
    assert run.returncode == 0
    assert Path("x.safetensors").exists()
