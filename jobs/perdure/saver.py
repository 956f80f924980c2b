"""Saves the states of one run: into its directory, when they are due, and with what must be said about it.

Two kinds of save. A periodic one can wait: if the storage refuses it, the run is told, goes on, and tries again when
the next is due; the older checkpoints are untouched. One that cannot wait, because the process is about to end or the
script asked for it, raises SaveFailed, so that the job ends with a status that says it was not saved (1, not 75).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from perdure import directory
from perdure.errors import SaveFailed, tell
from perdure.progress import Progress
from perdure.schedule import Mark, is_due
from perdure.settings import Settings
from perdure.state import Capture

SERIES = "run"


class SaveRequest(NamedTuple):
    """A state to be saved, and what the manifest says of it."""

    capture: Capture
    step: int
    position: Mapping[str, int]
    is_healthy: bool


class Saver:
    """Holds the directory from `__init__` to `close`. Errors of `__init__`: DirectoryInUse, SaveFailed."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._settings = settings
        self._progress = progress
        self._protected: Path | None = None
        self._last = Mark(0, time.monotonic())
        try:
            self._lock = directory.DirectoryLock(settings.root)
        except OSError as error:
            todo = "Make it writable, or give another one: Run(dir=…), or `dir` in the spec."
            raise SaveFailed(f"no checkpoints can be written to {settings.root}", _explain(error), todo) from error

    @property
    def root(self) -> Path:
        return self._settings.root

    def close(self) -> None:
        self._lock.release()

    def find_start(self, *, is_fresh: bool) -> directory.Found | None:
        """The checkpoint to go on from; None: begin at step 0. A job that is restarted is not fresh any more."""
        if is_fresh and directory.is_first_attempt():
            directory.set_aside_all(self.root, SERIES, "a fresh start was asked for")
            return None
        return directory.find_checkpoint(self.root, SERIES)

    def go_on_from(self, found: directory.Found) -> None:
        """It was loaded. What counts as newer is set aside, and retention will not touch it."""
        why = f"the run went back to step {found.step}"
        directory.set_aside_all(self.root, SERIES, why, newer_than=found.path)
        self._protected = found.path
        self._last = Mark(found.step, time.monotonic())

    def is_due(self, step: int) -> bool:
        return is_due(self._settings.every, self._last, Mark(step, time.monotonic()))

    def try_to_save(self, request: SaveRequest) -> bool:
        """A save that can wait; whether it succeeded."""
        try:
            self._save(request)
        except OSError as error:
            tell(
                f"the checkpoint of step {request.step} could not be written to {self.root}; training goes on",
                _explain(error),
                "Mend the storage: until a later checkpoint succeeds, a crash costs all steps since the last one.",
            )
            return False
        finally:
            self._last = Mark(request.step, time.monotonic())
        return True

    def save(self, request: SaveRequest) -> Path:
        """A save that cannot wait. Errors: SaveFailed."""
        try:
            return self._save(request)
        except OSError as error:
            raise SaveFailed(
                f"the checkpoint of step {request.step} could not be written to {self.root}",
                _explain(error),
                "Mend the storage and run the job again: it goes on from the last checkpoint, which is untouched.",
            ) from error

    def _save(self, request: SaveRequest) -> Path:
        self._progress.tell_saving(request.step)
        facts = directory.make_facts(SERIES, healthy=request.is_healthy, position=request.position)
        path = directory.commit(self.root, request.step, request.capture.files(), facts)
        self._last = Mark(request.step, time.monotonic())
        self._progress.tell_saved(request.step, path)
        directory.drop_old(self.root, self._settings.keep, self._protected)
        return path


def _explain(error: OSError) -> str:
    return error.strerror or str(error)
