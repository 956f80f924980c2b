"""When each checkpoint of a job was last read as a whole: a file beside the job's others. Lost, all are read anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from perdured.contract.durable import load_json, write_file

from .paths import StateDir


class LookedAt(NamedTuple):
    at: float
    """Seconds since the epoch."""
    is_whole: bool
    """False: it could not be judged. One that is broken lies in quarantine."""


def load_looks(state: StateDir, job: str) -> dict[str, LookedAt]:
    """By the name of the checkpoint's directory. What cannot be read was never looked at."""
    try:
        data = load_json(_path_of(state, job))
        looks = data["looks"] if isinstance(data, dict) else {}
        return {str(name): LookedAt(float(at), bool(is_whole)) for name, (at, is_whole) in looks.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def load_verified(state: StateDir, job: str) -> dict[str, float]:
    """Those that were found whole, and when."""
    return {name: look.at for name, look in load_looks(state, job).items() if look.is_whole}


def save_looks(state: StateDir, job: str, looks: Mapping[str, LookedAt]) -> None:
    """Errors: OSError."""
    write_file(_path_of(state, job), json.dumps({"version": 1, "looks": dict(looks)}).encode(), mode=0o600)


def _path_of(state: StateDir, job: str) -> Path:
    return state.job(job) / "verified.json"
