"""Which groups of jobs are paused. Durable before anything follows from it."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection

from perdured.contract.durable import load_json, write_file

from .paths import StateDir

_log = logging.getLogger("perdured")


def load_paused(state: StateDir) -> frozenset[str]:
    """None of them where the file cannot be read: what was paused can be paused again."""
    try:
        content = load_json(state.groups)
        if isinstance(content, dict):
            return frozenset(str(name) for name in content["paused"])
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s cannot be read, so no group is paused: %s", state.groups, error)
        return frozenset()
    _log.warning("%s makes no sense, so no group is paused", state.groups)
    return frozenset()


def save_paused(state: StateDir, paused: Collection[str]) -> None:
    """Errors: OSError."""
    write_file(state.groups, json.dumps({"version": 1, "paused": sorted(paused)}).encode(), mode=0o600)
