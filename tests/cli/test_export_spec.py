"""`perdure export ENGINE SPEC`, beside `perdure export PATH OUT`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perdured.cli.main import run_cli
from perdured.cli.verbs.export import is_engine

SPEC = 'name = "gpt"\ncommand = ["python", "train.py"]\n'
Perdure = Callable[..., tuple[int, str, str]]


@pytest.fixture
def perdure(capfdbinary: pytest.CaptureFixture[bytes]) -> Perdure:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = run_cli(["export", *arguments])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return run


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "gpt.toml"
    path.write_text(SPEC)
    return str(path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["slurm", "gpt.toml"], True),
        (["slurm", "-o", "x.sh", "gpt.toml"], True),
        (["kubernetes"], True),
        (["slurm", "--help"], True),
        (["slurm", "out.pth"], False),
        (["checkpoints", "out.pth"], False),
        (["--all", "slurm", "out.safetensors"], False),
    ],
)
def test_a_checkpoint_that_is_called_like_an_engine_can_still_be_exported(words: list[str], expected: bool) -> None:
    assert is_engine(words) is expected


def test_a_script_goes_to_standard_output_or_to_a_file_that_is_not_there_yet(
    perdure: Perdure, spec: str, tmp_path: Path
) -> None:
    status, out, _ = perdure("slurm", spec)
    assert (status, out[:12]) == (0, "#!/bin/bash\n")
    file = tmp_path / "gpt.sh"
    assert perdure("slurm", spec, "-o", str(file))[:2] == (0, "")
    assert file.read_text() == out
    assert perdure("slurm", spec, "-o", str(file), "--time", "3h")[0] == 2
    assert file.read_text() == out
    assert perdure("slurm", spec, "-o", str(file), "--time", "3h", "--force")[0] == 0
    assert "--time=0-03:00:00" in file.read_text()


def test_what_a_new_machine_could_not_go_on_from_is_refused(perdure: Perdure, spec: str) -> None:
    status, _, err = perdure("skypilot", spec)
    assert status == 2
    assert "checkpoint.remote" in err


def test_kubernetes_needs_an_image(perdure: Perdure, spec: str) -> None:
    assert perdure("kubernetes", spec)[0] == 2
    assert perdure("kubernetes", spec, "--image", "my/image")[0] == 0


def test_a_bad_spec_is_told_as_for_submit(perdure: Perdure, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("comand = []")
    status, _, err = perdure("slurm", str(bad))
    assert status == 2
    assert "line 1: comand" in err


def test_the_help_shows_both_uses(perdure: Perdure) -> None:
    status, out, _ = perdure("--help")
    assert status == 0
    assert "PATH OUT" in out
    assert all(f"{engine} SPEC" in out for engine in ("slurm", "kubernetes", "skypilot"))
    assert "--partition" in perdure("slurm", "--help")[1]
