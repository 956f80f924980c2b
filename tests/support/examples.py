"""The jobs of jobs/examples, for the tests of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = Path(__file__).parents[2] / "jobs" / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))
SPECS = sorted(FOLDER.glob("*.toml"))
SIGNAL_AT_STEP = Path(__file__).with_name("signal_at_step.py")


def run_example(
    name: str, *options: object, cwd: Path, attempt: int | None = None, ceiling: float = 50
) -> CompletedProcess[str]:
    """The finished process of `python name.py …`, as that attempt of a job or as none."""
    argv = [sys.executable, str(FOLDER / f"{name}.py"), *map(str, options)]
    env = os.environ | ({} if attempt is None else {"PERDURE_ATTEMPT": str(attempt)})
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=ceiling, check=False)


def load_weights(path: Path) -> dict[str, Tensor]:
    import torch

    weights: dict[str, Tensor] = torch.load(path, weights_only=True)
    return weights


def find_differences(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """The names of the tensors that are not the same in both, bit by bit."""
    names = one.keys() | other.keys()
    return [name for name in sorted(names) if name not in one or name not in other or not one[name].equal(other[name])]
