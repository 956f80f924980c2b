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
    assert export.main(["checkpoints", "out/x.pth"]) == 0
    found = torch.load("out/x.pth", weights_only=True)
    assert freeze(found["model_state_dict"]) == freeze(saved["model"])
    assert freeze(found["optimizer_state_dict"]) == freeze(saved["optimizer"])
    assert (found["step"], found["epoch"], found["values"]) == (2, 2, {"best": 0.5})
    Tied().load_state_dict(found["model_state_dict"])


def test_a_safetensors_has_the_model_by_its_own_names(saved: dict[str, Any]) -> None:
    assert export.main([str(newest()), "x.safetensors"]) == 0
    assert freeze(dict(sorted(load_file("x.safetensors").items()))) == freeze(dict(sorted(saved["model"].items())))


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
    assert export.main(["a.pth.checkpoints", "x.safetensors"]) == 0
    assert load_file("x.safetensors")["w"].tolist() == [1, 1]


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
    [(["nowhere", "x.pth"], 1), (["checkpoints", "x.bin"], 2), (["checkpoints", "x.pt/y.pt"], 1)],
)
def test_what_cannot_be_done_is_told(
    arguments: list[str], status: int, saved: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("x.pt").touch()
    assert export.main(arguments) == status
    assert capsys.readouterr().err


def test_an_object_that_is_not_in_it_is_told(saved: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["checkpoints", "x.safetensors", "--only", "scaler"]) == 1
    assert "it has model, optimizer" in capsys.readouterr().err


def test_it_runs_as_a_program(saved: dict[str, Any]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "perdure.export", "checkpoints", "x.safetensors"], timeout=50, check=False
    )
    assert run.returncode == 0
    assert Path("x.safetensors").exists()
