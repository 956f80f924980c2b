"""Writes notices into the folder of notices, and takes them out again: for hooks, such as a pod's preStop.

It needs no daemon: whoever listens there hears of it, or will when it starts.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from perdured.contract import environment
from perdured.contract.durable import make_directories, make_token, write_file
from perdured.errors import BadUsage, PerdureError
from perdured.state.paths import default_state_dir


def find_folder(given: Path | None, state_dir: Path | None) -> Path:
    named = os.environ.get(f"{environment.NOTICES}FOLDER")
    return given or (Path(named) if named else (state_dir or default_state_dir()) / "notices")


def announce(folder: Path, within: float, why: str | None) -> str:
    """The notice's name: durable, and in place as a whole, when this returns."""
    name = f"announced-{make_token()}"
    content = {"deadline": f"{within:g}s", "follows": "kill", "why": why or "announced by hand"}
    try:
        make_directories(folder, mode=0o700)
        write_file(folder / name, json.dumps(content).encode(), replace=False)
    except OSError as error:
        why_not = f"{folder}: {error.strerror}."
        todo = "Name the folder that the daemon listens to: --folder, or PERDURE_NOTICES_FOLDER."
        raise PerdureError("The notice could not be written.", why_not, todo) from None
    return name


def withdraw(folder: Path, name: str) -> None:
    """Raises BadUsage where there is none."""
    try:
        if name != Path(name).name:
            raise FileNotFoundError
        (folder / name).unlink()
    except OSError:
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        what = f"There is no notice {name!r} in {folder}."
        raise BadUsage(
            what, f"It has: {', '.join(there) or 'none'}.", "Give its name, as --announce printed it."
        ) from None
