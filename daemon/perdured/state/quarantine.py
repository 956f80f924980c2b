"""Which GPUs have failed a job and are given to nobody, by UUID. Durable before the end that speaks against them is."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from perdured.contract.durable import load_json, write_file

from .paths import StateDir

_log = logging.getLogger("perdured")


class Quarantined(NamedTuple):
    why: str
    job: str
    at: float


def load_quarantine(state: StateDir) -> dict[str, Quarantined]:
    """None of them where the file cannot be read: a GPU that is broken will fail again, and be known by it."""
    try:
        content: Any = load_json(state.gpus)
        found = content["quarantined"]
        return {str(uuid): Quarantined(str(q["why"]), str(q["job"]), float(q["at"])) for uuid, q in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s cannot be read, so no GPU is in quarantine: %s", state.gpus, error)
        return {}


def save_quarantine(state: StateDir, quarantine: Mapping[str, Quarantined]) -> None:
    """Errors: OSError."""
    content = {"version": 1, "quarantined": {uuid: each._asdict() for uuid, each in quarantine.items()}}
    write_file(state.gpus, json.dumps(content, indent=1).encode(), mode=0o600)
