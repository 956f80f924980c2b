"""Finds a Python that has torch, and runs a module of `perdure` in it: the daemon's own environment needs no torch, and
nothing here ever imports it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from perdured.errors import PerdureError

_HAS_TORCH = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"

# `perdure` may be missing there, so it is brought along: at the end of the path, where it hides nothing of theirs.
_RUN_MODULE = """
import os, runpy, sys
sys.path += sys.argv.pop(1).split(os.pathsep)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def find_torch_python(chosen: Path | None = None) -> str:
    """The interpreter that was chosen, or the first of: this one, the active virtual environment's, the one on PATH."""
    if chosen is not None:
        if not has_torch(str(chosen)):
            raise PerdureError(
                f"{chosen} has no torch.", "It does not run, or cannot import it.", "Choose another Python."
            )
        return str(chosen)
    if find_spec("torch") is not None:
        return sys.executable
    candidates = list_candidates(os.environ.get("VIRTUAL_ENV"))
    found = next((python for python in candidates if has_torch(python)), None)
    if found is None:
        why = f"Looked at {', '.join([sys.executable, *candidates])}."
        todo = "Name one with --python PATH, or activate the environment that the job trains in."
        raise PerdureError("No Python with torch was found.", why, todo)
    return found


def list_candidates(virtual_env: str | None) -> list[str]:
    active = [f"{virtual_env}/bin/python"] if virtual_env else []
    return active + [python for name in ("python3", "python") if (python := shutil.which(name))]


def has_torch(python: str) -> bool:
    """Whether torch could be imported there; looked up, not imported, which would take seconds."""
    try:
        done = subprocess.run([python, "-c", _HAS_TORCH], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def run_module(python: str, module: str, arguments: Sequence[str]) -> None:
    """`python -m MODULE ARGUMENTS`; PerdureError with its last words when it fails."""
    command = [python, "-c", _RUN_MODULE, _roots(), module, *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-3:] or [f"It ended with status {done.returncode}."]
        raise PerdureError(f"{module} failed in {python}.", "\n".join(last), "Nothing was written.")


def _roots() -> str:
    """Where `perdure` and what it uses of `perdured` lie: one place when installed, two in a checkout."""
    specs = [find_spec(package) for package in ("perdure", "perdured")]
    packages = [place for spec in specs if spec for place in spec.submodule_search_locations or ()]
    return os.pathsep.join(str(Path(package).parent) for package in packages)
