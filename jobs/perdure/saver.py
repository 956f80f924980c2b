"""Saves the states of one run: into its directory, when they are due, and with what must be said about it.

Two kinds of save. A periodic one can wait: if the storage refuses it, the run is told, goes on, and tries again when
the next is due; the older checkpoints are untouched. One that cannot wait, because the process is about to end or the
script asked for it, raises SaveFailed, so that the job ends with a status that says it was not saved (1, not 75).

Two ways to the disk. With a memory tier (`memory`) the state is copied into memory and the keeper commits it: a
periodic save costs no more than that copy, and is done when the keeper's answer comes, some steps later. Without one,
or when the keeper could not, this process writes it itself and stands still meanwhile.

Known limit: a save that cannot wait waits for the keeper's answer; one that was stopped (SIGSTOP) holds it up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from perdure import directory
from perdure.channel import Channel, read_clock
from perdure.errors import SaveFailed, tell
from perdure.memory import Answer, MemoryTier
from perdure.pacer import Pacer
from perdure.progress import Progress
from perdure.schedule import Mark
from perdure.settings import Settings
from perdure.state import Capture
from perdured.contract.checkpoint import Facts
from perdured.contract.deadline import LATE, RESERVE, TooLate

SERIES = "run"
Position = tuple[int, ...]


class SaveRequest(NamedTuple):
    """A state to be saved, and what the manifest says of it. `where` tells it from every other state of the run."""

    capture: Capture
    step: int
    position: Mapping[str, int]
    is_healthy: bool
    where: Position


class Saver:
    """Holds the directory from `__init__` to `close`. Errors of `__init__`: DirectoryInUse, SaveFailed."""

    def __init__(self, settings: Settings, progress: Progress, channel: Channel) -> None:
        self._settings = settings
        self._progress = progress
        self._memory = MemoryTier(settings, channel)
        self._pacer = Pacer(settings, channel)
        self._protected: Path | None = None
        self._last = Mark(0, time.monotonic())
        self._saved: Position | None = None
        self._requested: dict[int, SaveRequest] = {}
        """By the generation of the snapshot, what the keeper has been asked to commit."""
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
        """The checkpoint to go on from, whose bytes are verified by who loads it; None: begin at step 0. A job that is
        restarted is not fresh any more."""
        if is_fresh and directory.is_first_attempt():
            directory.begin_afresh(self.root, SERIES)
            return None
        return directory.find_checkpoint(self.root, SERIES, "Run(fresh=True), or another directory", hashes=False)

    def go_on_from(self, found: directory.Found, where: Position) -> None:
        """It was loaded. What counts as newer is set aside, and retention will not touch it."""
        why = f"the run went back to step {found.step}"
        directory.set_aside_all(self.root, SERIES, why, newer_than=found.path)
        self._protected = found.path
        self._last = Mark(found.step, time.monotonic())
        self._saved = where

    def is_saved(self, where: Position) -> bool:
        """Whether that state is durable."""
        self._hear_all()
        return self._saved == where

    def is_due(self, step: int) -> bool:
        self._hear_all()
        return self._pacer.is_save_due(self._last, Mark(step, time.monotonic())) and not self._requested

    # In memory -------------------------------------------------------------------------------------------------------

    def is_snapshot_due(self) -> bool:
        return self._memory.is_due() and (self._pacer.is_snapshot_due() or not self._memory.is_held)

    def take_snapshot(self, make: Callable[[], SaveRequest | None]) -> None:
        """A copy of the state in memory, for the case that this process dies. Never fails; costs what a copy costs."""
        began = time.monotonic()
        request, taken = make(), None
        if request is not None and request.is_healthy:
            taken = self._memory.take_snapshot(request.capture, request.step, _make_facts(request))
        self._memory.note_cost(began)
        if taken is not None:
            self._note_copy(began)

    def _note_copy(self, began: float) -> None:
        seconds = time.monotonic() - began
        self._pacer.note_copy(seconds)
        self._progress.note_stall(seconds)

    # On the disk -----------------------------------------------------------------------------------------------------

    def try_to_save(self, request: SaveRequest, deadline: float | None = None) -> None:
        """A save that can wait, but not beyond its deadline, if it has one. It is under way, or done, or the person who
        reads the output was told why not."""
        if not self.fits(deadline):
            self._memory.take_snapshot(request.capture, request.step, _make_facts(request))
            self._tell_too_short(request.step)
            return
        self._last = Mark(request.step, time.monotonic())
        if self._begin_commit(request, is_urgent=False, deadline=deadline) is None:
            self._try_to_save_here(request, deadline)

    def save_by(self, request: SaveRequest, deadline: float | None) -> bool:
        """A save that cannot wait, and that is not worth its time if it is late. Whether the state is durable."""
        if self.is_saved(request.where):
            return True
        if not self.fits(deadline):
            self._memory.take_snapshot(request.capture, request.step, _make_facts(request))
            self._tell_too_short(request.step)
            return False
        if self._commit_now(request, deadline) is None:
            self._try_to_save_here(request, deadline)
        return self.is_saved(request.where)

    def note_pause(self) -> None:
        """The run stood still; that was no step."""
        self._pacer.note_pause()

    def fits(self, deadline: float | None) -> bool:
        """Whether a save that begins now may be durable by then, on the channel's clock; if not, none is begun."""
        return deadline is None or self._pacer.fits_on_disk(deadline - read_clock())

    @property
    def is_held_in_memory(self) -> bool:
        """The last state outlives this process, and the keeper commits it, however little time is left here."""
        return self._memory.is_held

    def save(self, request: SaveRequest, *, is_last: bool = False) -> Path:
        """A save that cannot wait. Errors: SaveFailed. The last one of a process that is told to end only saves: what
        is too old by now is dropped by the next process, whose time is not short."""
        try:
            return self._commit_now(request) or self._save_here(request, is_last=is_last)
        except OSError as error:
            raise SaveFailed(
                f"the checkpoint of step {request.step} could not be written to {self.root}",
                _explain(error),
                "Mend the storage and run the job again: it goes on from the last checkpoint, which is untouched.",
            ) from error

    # By the keeper ---------------------------------------------------------------------------------------------------

    def _begin_commit(self, request: SaveRequest, *, is_urgent: bool, deadline: float | None = None) -> int | None:
        """The generation that the keeper has been asked to commit; None if it cannot be."""
        began = time.monotonic()
        generation = self._memory.take_snapshot(request.capture, request.step, _make_facts(request))
        if generation is not None:
            self._note_copy(began)
            self._requested[generation] = request
            protect = str(self._protected) if self._protected is not None else None
            self._memory.ask_commit(generation, protect, is_urgent=is_urgent, deadline=deadline)
        return generation

    def _commit_now(self, request: SaveRequest, deadline: float | None = None) -> Path | None:
        """None if the keeper could not."""
        generation = self._find_requested(request.where)
        generation = generation or self._begin_commit(request, is_urgent=True, deadline=deadline)
        if generation is None:
            return None
        self._progress.tell_saving(request.step)
        path = self._wait_for(generation)
        self._requested.pop(generation)
        if path is not None:
            self._note_saved(request)
        return path

    def _wait_for(self, generation: int) -> Path | None:
        path = None
        while self._memory.is_under_way(generation):
            answers = self._memory.wait_for_answers()
            self._hear([answer for answer in answers if answer.generation != generation])
            self._note_seconds(answers)
            path = next((answer.path for answer in answers if answer.generation == generation), path)
        return Path(path) if path is not None else None

    def _find_requested(self, where: Position) -> int | None:
        """The snapshot of that state which is being committed already."""
        return next((generation for generation, r in self._requested.items() if r.where == where), None)

    def _hear_all(self) -> None:
        answers = self._memory.take_answers()
        self._note_seconds(answers)
        self._hear(answers)

    def _note_seconds(self, answers: list[Answer]) -> None:
        for seconds in (answer.seconds for answer in answers if answer.seconds is not None):
            self._pacer.note_write(seconds, has_memory=True)

    def _hear(self, answers: list[Answer]) -> None:
        for answer in answers:
            request = self._requested.pop(answer.generation, None)
            if request is not None and answer.path is not None:
                self._note_saved(request)
            elif request is not None:
                self._tell_failure(request.step, answer.why)

    # By this process -------------------------------------------------------------------------------------------------

    def _try_to_save_here(self, request: SaveRequest, deadline: float | None = None) -> None:
        try:
            self._save_here(request, deadline=deadline)
        except OSError as error:
            self._tell_failure(request.step, _explain(error))
        finally:
            self._last = Mark(request.step, time.monotonic())

    def _save_here(self, request: SaveRequest, *, is_last: bool = False, deadline: float | None = None) -> Path:
        self._progress.tell_saving(request.step)
        began = time.monotonic()
        files, check = request.capture.files(), partial(_check_deadline, deadline)
        path = directory.commit(self.root, request.step, files, _make_facts(request), check)
        self._pacer.note_write(time.monotonic() - began, has_memory=False)
        self._note_saved(request)
        self._progress.tell_saved(request.step, path)
        if not is_last:
            directory.drop_old(self.root, self._settings.keep, self._protected)
        return path

    def _note_saved(self, request: SaveRequest) -> None:
        self._saved = request.where
        self._last = Mark(request.step, time.monotonic())

    def _tell_too_short(self, step: int) -> None:
        tell(
            f"the checkpoint of step {step} was not begun; training goes on",
            "it was to be done by a moment by which it cannot be, as long as saving has taken so far",
        )

    def _tell_failure(self, step: int, why: str) -> None:
        if why == LATE:
            tell(f"the checkpoint of step {step} was given up; training goes on", f"{LATE}; no older one was touched")
            return
        tell(
            f"the checkpoint of step {step} could not be written to {self.root}; training goes on",
            why,
            "Mend the storage: until a later checkpoint succeeds, a crash costs all steps since the last one.",
        )


def _check_deadline(deadline: float | None) -> None:
    if deadline is not None and read_clock() > deadline - RESERVE:
        raise TooLate


def _make_facts(request: SaveRequest) -> Facts:
    return directory.make_facts(SERIES, healthy=request.is_healthy, position=request.position)


def _explain(error: OSError) -> str:
    return error.strerror or str(error)
