"""What a run is told about its checkpoints: by its arguments, else by the job's spec, else by these defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from perdure.errors import Misuse
from perdure.schedule import Schedule, parse_schedule
from perdured.contract import environment
from perdured.contract.pacing import Costs, History, parse_past

EVERY = "auto"
KEEP = 3
DIRECTORY = "checkpoints"


class Settings(NamedTuple):
    every: Schedule
    keep: int
    root: Path
    uses_memory: bool
    """Whether snapshots are kept in memory; the spec's `checkpoint.memory`."""
    past: tuple[History, Costs] = (History(), Costs())
    """What the job has been through, and what its saves have cost."""
    skipped_batches: int = 0
    """How many batches are passed over after the start; the spec's `health.skip_batches`."""


def load_settings(every: str | None, keep: int | None, directory: str | os.PathLike[str] | None) -> Settings:
    """Errors: Misuse."""
    wanted = directory if directory is not None else os.environ.get(environment.CHECKPOINT_DIR, DIRECTORY)
    return Settings(
        _parse_every(every if every is not None else os.environ.get(environment.CHECKPOINT_EVERY, EVERY)),
        load_keep(keep),
        Path(os.path.abspath(wanted)),
        os.environ.get(environment.CHECKPOINT_MEMORY, "1") != "0",
        _load_past(),
        _load_skipped(),
    )


def _load_past() -> tuple[History, Costs]:
    """Of another version, it is as if there were none: intervals are then chosen as for a new job."""
    try:
        return parse_past(os.environ.get(environment.CHECKPOINT_PAST, "{}"))
    except ValueError:
        return History(), Costs()


def _parse_every(text: str) -> Schedule:
    try:
        return parse_schedule(str(text))
    except ValueError as error:
        todo = 'Say "auto", "10min" or "500 steps".'
        raise Misuse("perdure.Run(every=…) is not understood", str(error), todo) from None


def load_keep(keep: int | None) -> int:
    """How many checkpoints to keep. Errors: Misuse."""
    wanted = keep if keep is not None else os.environ.get(environment.CHECKPOINT_KEEP, KEEP)
    if not str(wanted).isdecimal() or int(wanted) < 1:
        raise Misuse("keep=… is not understood", f"{wanted!r} is no number of checkpoints", "Say keep=3.")
    return int(wanted)


def _load_skipped() -> int:
    text = os.environ.get(environment.SKIP_BATCHES, "0")
    return int(text) if text.isdecimal() else 0
