"""Why a checkpoint lies in the quarantine, and whether it still keeps its series from beginning again by itself.

A run of three weeks whose checkpoints are all broken must not begin again at step 0, neither at the start that finds
them broken nor at any later one. So what lies in the quarantine *counts* as a checkpoint that existed, until a person
removes it or brings it back, with two exceptions, which the reason beside it says by `"counts": false`:

- it was put there on purpose: the run went back to an older step, or a fresh start was asked for;
- it was broken, and a fresh start was asked for since.

Where no reason can be read, as a full disk or a kill leaves it, it counts. So does one whose series cannot be read, for
every series. A mistake on this side costs a question; one on the other side costs the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from pathlib import Path

from perdured.contract import durable
from perdured.contract.checkpoint.layout import QUARANTINE, CheckpointName, parse_name, parse_quarantined
from perdured.contract.checkpoint.verify import load_verdict

_MAX_BYTES = 1 << 20


def reason_of(path: Path) -> Path:
    """The file that says why `path` lies in the quarantine."""
    return path.with_name(path.name + ".reason.json")


def save_reason(path: Path, name: str, why: str, *, counts: bool) -> None:
    """Never fails: a full disk must not keep a job from resuming."""
    reason = json.dumps({"name": name, "why": why, "counts": counts}).encode("ascii") + b"\n"
    with contextlib.suppress(OSError):
        durable.write_file(reason_of(path), reason)


def find_lost(root: Path, series: str | None) -> tuple[Path, ...]:
    """What lies in the quarantine of `root` and counts, of the series (None: of any). Reads only.

    Errors: OSError if the quarantine is there and cannot be read.
    """
    aside = root / QUARANTINE
    try:
        names = sorted(name for name in os.listdir(aside) if parse_quarantined(name) is not None)
    except FileNotFoundError:
        return ()
    return tuple(path for name in names if _is_lost(path := aside / name, series))


def list_set_aside(root: Path) -> set[CheckpointName]:
    """The names of what lies in the quarantine on purpose, and was not brought back. Reads only; OSError as above."""
    aside = root / QUARANTINE
    try:
        entries = os.listdir(aside)
    except FileNotFoundError:
        return set()
    found = set()
    for entry in entries:
        kept = parse_quarantined(entry)
        name = parse_name(kept) if kept is not None and not os.path.lexists(root / kept) else None
        if name is not None and _load_reason(aside / entry).get("counts") is False:
            found.add(name)
    return found


def forgive_lost(root: Path, series: str | None) -> None:
    """A fresh start was asked for: what is lost so far counts no more. It stays where it is, with its reason."""
    for path in find_lost(root, series):
        name = parse_quarantined(path.name)
        assert name is not None
        why = f"{_load_reason(path).get('why', 'unknown')}; a fresh start was asked for since"
        save_reason(path, name, why, counts=False)


def _is_lost(path: Path, series: str | None) -> bool:
    try:
        is_directory = stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False
    if not is_directory or _load_reason(path).get("counts") is False:
        return False
    manifest = load_verdict(path).manifest
    return series is None or manifest is None or manifest.facts.series == series


def _load_reason(path: Path) -> dict[str, object]:
    try:
        reason = durable.load_json(reason_of(path), _MAX_BYTES)
    except (OSError, ValueError):
        return {}
    return reason if isinstance(reason, dict) else {}
