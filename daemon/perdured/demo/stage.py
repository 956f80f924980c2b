"""Where the demo plays: the GPT of the examples, a folder of its own, and the two runs' commands."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from perdured.contract import environment
from perdured.errors import PerdureError
from perdured.state.paths import StateDir

NAME = "gpt"


class Scale(NamedTuple):
    """How long it takes: the options of gpt.py, and how often it saves."""

    options: tuple[str, ...] = ("--megabytes", "0.28")
    every: str = "15 steps"


class Stage(NamedTuple):
    root: Path
    script: Path
    scale: Scale

    @property
    def state(self) -> StateDir:
        return StateDir(self.root / "state")

    @property
    def socket(self) -> Path:
        return self.root / "perdured.sock"

    @property
    def disturbed(self) -> Path:
        """The checkpoints of the run that is disturbed."""
        return self.root / "disturbed"

    @property
    def undisturbed(self) -> Path:
        return self.root / "undisturbed"

    @property
    def command(self) -> list[str]:
        """One thread, so that two runs share two cores fairly; and the same number, for the same bits."""
        return [sys.executable, str(self.script), "--threads", "1", "--log-every", "1", *self.scale.options]

    @property
    def spec(self) -> str:
        return format_spec(self.command, self.disturbed, self.scale.every)


def find_script() -> Path:
    """The GPT among the examples, which are in a checkout and not in the wheel."""
    script = Path(__file__).parents[3] / "jobs" / "examples" / "gpt.py"
    if not script.is_file():
        raise PerdureError(
            "The demo's training script is not here.",
            f"It is one of the examples, which are not installed with the package: there is no {script}.",
            "Run the demo from a checkout of Perdure: `make demo`.",
        )
    return script


def check_torch() -> None:
    if find_spec("torch") is None:
        raise PerdureError(
            "The demo trains a model, and torch is not installed.",
            f"{sys.executable} does not find it. The daemon itself has no use for torch.",
            "In a clone of the repository: `pip install '.[demo]'`, or `make demo`.",
        )


def format_spec(command: list[str], checkpoints: Path, every: str) -> str:
    """A spec as a person would write it. A JSON string, or list of strings, is one of TOML too.

    Without the memory tier: it would commit a newer checkpoint after a SIGKILL than the one that is to be corrupted.
    """
    return "\n".join(
        [
            f"name = {_quote(NAME)}",
            f"command = {_quote(command)}",
            "",
            "[checkpoint]",
            f"dir = {_quote(str(checkpoints))}",
            f"every = {_quote(every)}",
            "keep = 3",
            "memory = false",
            "",
            "[stop]",
            'grace = "10s"',
            "",
        ]
    )


def _quote(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def clean_environment() -> dict[str, str]:
    """This process's environment without anything of Perdure's: the demo may itself be run by a job."""
    mine = {*environment.ATTEMPT_VARIABLES, environment.SOCKET_PATH, environment.STATE_DIR}
    return {name: value for name, value in os.environ.items() if name not in mine}
