"""A spec as a managed job for SkyPilot (`sky jobs launch`).

A new machine begins with an empty disk, so the checkpoints have to be copied to a store: `checkpoint.remote` is asked
for. A bucket that is mounted as a disk is no place for them, since renames there are copies and no lock holds.
SkyPilot brings a job back whose machine was taken; that `perdure run` ended with 75 it has to be told to do so for.
"""

from __future__ import annotations

import math
import shlex
from pathlib import PurePosixPath
from typing import NamedTuple

from perdured.contract import exits

from .source import Source
from .yaml_text import format_string


class SkyPilotWishes(NamedTuple):
    accelerators: str | None = None
    """As SkyPilot names them, such as "H100:1"; the spec has only their number."""
    setup: str = "pip install 'perdure[torch,remote]'"


def format_skypilot(source: Source, wishes: SkyPilotWishes) -> str:
    spec = source.spec
    folder = PurePosixPath(source.file).parent
    lines = [
        f"# Written by `perdure export skypilot {source.shown_name}`; hand it in with: sky jobs launch FILE",
        f"name: {format_string(spec.job_name)}",
        "",
        "# Copied to the machine: the spec, and what lies beside it.",
        f"workdir: {format_string(str(folder))}",
        "",
        "resources:",
        *([f"  accelerators: {format_string(wishes.accelerators)}"] if wishes.accelerators else []),
        *(
            [f"  memory: {format_string(f'{math.ceil(spec.resources.memory / 1e9)}+')}"]
            if spec.resources.memory
            else []
        ),
        "  use_spot: true",
        "  job_recovery:",
        f"    # {exits.RUN_AGAIN}: saved, run me again.",
        f"    recover_on_exit_codes: [{exits.RUN_AGAIN}]",
        "",
        "setup: |",
        *_indent(wishes.setup),
        "",
        f"# The checkpoints are copied to {spec.checkpoint.remote}, and fetched from there on a new machine.",
        "# exec, so that the signal reaches perdure.",
        "run: |",
        *_indent(f"exec perdure run {shlex.quote(source.file_name)}"),
    ]
    return "\n".join(lines) + "\n"


def _indent(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]
