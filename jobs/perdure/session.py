"""`perdure.Run`: the object that a training script holds."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from perdure import directory
from perdure.channel import Channel, open_channel
from perdure.errors import Misuse, SaveFailed, tell
from perdure.schedule import Mark, is_due, parse_schedule
from perdure.signals import StopFlag
from perdure.state import Capture, Moment, Stateful, capture_state, check_objects, restore_state
from perdure.walk import Walk
from perdured.contract import environment, exits, messages

SERIES = "run"
KEEP = 3
_PROGRESS_SECONDS = 0.1


class _Boundary(NamedTuple):
    """The state at a point from which code runs again after a resume (see `walk`)."""

    capture: Capture
    mark: tuple[int, ...]


class Run:
    """A training run that can be stopped at any moment and goes on where it was.

        with perdure.Run(model=model, optimizer=optimizer, data=loader) as run:   # restores, if there is something
            for epoch in run.epochs(10):
                for batch in run.batches(loader):                                 # goes on in the middle of an epoch
                    ...                                                           # one optimizer update
                    run.report(loss=loss.item())                                  # the update is complete: a safe point

    Args:
        data: what goes to `batches`: a DataLoader, a loader with `state_dict`, a sequence, or an iterable.
        values: plain data of your own to save, such as `{"best": 0.0}`; read and change it as `run.values`.
        every: between two checkpoints: "auto" (10 minutes), "10min", "500 steps".
        keep: how many checkpoints; never fewer than two.
        dir: where they are written; relative to the working directory.
        fresh: begin at step 0, and set aside what checkpoints there are.
        objects: anything with `state_dict` and `load_state_dict`, by a name of your choice: model, optimizer,
            scheduler, scaler, ema, … What they hold that no checkpoint can hold is refused here, not hours later.

    `every`, `keep` and `dir`, if not given, are what the job's spec says, else "auto", 3 and "checkpoints".

    On SIGTERM or the first Ctrl-C the next `report` saves and exits with status 75: run me again. Leaving the block
    saves what is not saved yet; leaving it by an exception saves nothing.
    """

    def __init__(
        self,
        *,
        data: object = None,
        values: Mapping[str, Any] | None = None,
        every: str | None = None,
        keep: int | None = None,
        dir: str | os.PathLike[str] | None = None,
        fresh: bool = False,
        **objects: Stateful,
    ) -> None:
        self.step = 0
        """Updates made: calls of `report`, over all attempts."""
        self.values: dict[str, Any] = dict(values or {})
        """Your own values; saved with each checkpoint."""
        self.resumed_from_step: int | None = None
        """The step that this process went on from; None if it began at 0."""
        check_objects(objects)
        self._objects = objects
        self._data = data
        self._fresh = fresh
        self._every = _parse_every(every or os.environ.get(environment.CHECKPOINT_EVERY) or "auto")
        self._keep = _check_keep(keep or os.environ.get(environment.CHECKPOINT_KEEP) or KEEP)
        self._dir = Path(os.path.abspath(dir or os.environ.get(environment.CHECKPOINT_DIR) or "checkpoints"))
        self._walk = Walk(self._act, self._reach_boundary)
        self._is_entered = self._is_left = False
        self._stop = StopFlag()
        self._channel = Channel(None)
        self._loss: Any = None
        self._boundary: _Boundary | None = None
        self._saved: tuple[int, ...] | None = None
        self._save_wanted = self._stop_seen = False
        self._protected: Path | None = None
        self._last = Mark(0, time.monotonic())
        self._told_at = -math.inf
        if data is not None:
            self._walk.source(data)
        self._capture()  # what cannot be saved is refused now

    # Loops -----------------------------------------------------------------------------------------------------------

    def epochs(self, count: int) -> Iterator[int]:
        """The numbers of the epochs that are left of `count`, the present one first; counted from 0.

        Code in this loop, but outside the loop over `batches`, runs again when the job is resumed in its epoch.
        """
        self._require_inside("epochs")
        return self._walk.epochs(count)

    def batches(self, data: object = None, *, epochs: int | None = None) -> Iterator[Any]:
        """The batches that are left of one pass over `data` (default: Run's `data`), or of `epochs` passes.

        Each batch comes once per epoch, however often the job dies. A batch is used up when `report` is called; until
        then nothing is saved. Errors: Misuse for data that cannot be resumed; CannotRestore if it is not what it was.
        """
        self._require_inside("batches")
        data = self._data if data is None else data
        if data is None:
            raise Misuse("run.batches() has no data", "neither it nor Run was given any", "Use run.batches(loader).")
        return self._walk.one_pass(data) if epochs is None else self._walk.passes(data, epochs)

    # The safe point --------------------------------------------------------------------------------------------------

    def report(self, loss: Any = None, total: int | None = None, **metrics: float) -> None:
        """One update is complete, with all that belongs to it: call this last in the body of the loop.

        Counts the step; saves if a checkpoint is due or asked for; saves and exits with 75 if the job is to stop.

        Args:
            loss: a number or a tensor of one element. If it is not finite when a checkpoint is made, that checkpoint
                is marked unhealthy, and nobody resumes from it.
            total: how many steps there will be, for the display.
            metrics: other numbers, for the display.
        """
        self._require_inside("report")
        self.step += 1
        self._loss = loss.detach() if hasattr(loss, "detach") else loss
        self._walk.end_step()
        self._boundary = None
        self._tell_progress(total, metrics)
        self._act()

    def safe_point(self) -> None:
        """Save or stop here, if it is time to; else do nothing. For long work between steps, such as an evaluation.

        Between `batches` and `report` it does nothing: an update may be half done.
        """
        self._require_inside("safe_point")
        self._act()

    def save(self) -> Path | None:
        """Make a checkpoint now, and return its path. Between `batches` and `report`: at the next `report`; None.

        Errors: SaveFailed if the storage refuses it.
        """
        self._require_inside("save")
        capture = self._find_state()
        if capture is None:
            self._save_wanted = True
            return None
        return self._commit_or_fail(capture)

    @property
    def epoch(self) -> int:
        """The present epoch, from 0; after the loops, how many there were."""
        return self._walk.epoch

    @property
    def should_stop(self) -> bool:
        """Whether the job has been asked to stop. If you leave your loop for it, the block's end saves and exits 75."""
        self._stop_seen = self._stop_seen or self._stop.signal is not None
        return self._stop.signal is not None

    # Begin and end ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Run:  # noqa: PYI034  typing.Self is of Python 3.11
        if self._is_entered:
            raise Misuse("this Run was entered before", "each is good for one `with` block", "Make a new one.")
        self._lock = directory.DirectoryLock(self._dir)
        try:
            self._stop.install()
            self._channel = open_channel()
            self._is_entered = True
            self._resume()
            self._reach_boundary()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._leave()

    def _resume(self) -> None:
        if self._fresh:
            directory.set_aside_all(self._dir, SERIES, "a fresh start was asked for")
            return
        found = directory.find_checkpoint(self._dir, SERIES)
        if found is None:
            return
        moment = restore_state(found.path, self._objects)
        self.step = self.resumed_from_step = moment.step
        self.values.update(moment.values)
        self._walk.load_tree(moment.position, moment.rng, self._data)
        why = f"the run went back to step {found.step}"
        directory.set_aside_all(self._dir, SERIES, why, newer_than=found.path)
        self._protected = found.path
        self._saved, self._last = self._mark(), Mark(self.step, time.monotonic())
        tell(f"resumed from step {self.step} ({found.path})")

    def _finish(self) -> None:
        if self._saved != self._mark():
            self._commit_or_fail(self._capture())
        if self._stop_seen and not self._walk.is_complete:
            self._exit_to_run_again()

    def _leave(self) -> None:
        self._is_left = True
        # Work that is complete shall not be reported as killed by a signal that came a moment too late; the keeper
        # ends a process that takes its time after this. Without a keeper, the signals mean what they meant before.
        keeps_flag = self._walk.is_complete and self._channel.is_open
        self._stop.restore(but=signal.SIGTERM if keeps_flag else None)
        self._channel.close()
        self._lock.release()

    def _require_inside(self, what: str) -> None:
        if not self._is_entered or self._is_left:
            why = "the `with` block is over" if self._is_left else "it was not entered"
            raise Misuse(f"run.{what}() outside its Run", why, "Use `with perdure.Run(...) as run:` around the loops.")

    # Saving ----------------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        """Between two steps: save if it is time to, and go if the job is to stop."""
        self._save_wanted = self._save_wanted or self._channel.take_save_wish()
        now = Mark(self.step, time.monotonic())
        is_wanted = self._save_wanted or is_due(self._every, self._last, now)
        if self._is_left or not (is_wanted or self._stop.signal):
            return
        capture = self._find_state()
        if capture is None:
            return
        if self._stop.signal:
            if self._saved != self._mark():
                self._commit_or_fail(capture)
            self._exit_to_run_again()
        self._commit_or_go_on(capture)

    def _find_state(self) -> Capture | None:
        """The state to save; None where none can be had that a resumed run could go on from."""
        if self._walk.is_inside_step:
            return None
        if self._walk.is_inside_pass or self._boundary is None:
            return self._capture()
        return self._boundary.capture if self._boundary.capture.is_unchanged() else None

    def _reach_boundary(self) -> None:
        if not self._is_left:
            self._boundary = _Boundary(self._capture(), self._mark())

    def _capture(self) -> Capture:
        walk = self._walk
        return capture_state(self._objects, Moment(self.step, walk.epoch, self.values, walk.rng(), walk.to_tree()))

    def _mark(self) -> tuple[int, ...]:
        return (self.step, *self._walk.mark())

    def _commit_or_go_on(self, capture: Capture) -> None:
        """A checkpoint that can wait: if the storage refuses it, training goes on until the next one is due."""
        try:
            self._commit(capture)
        except OSError as error:
            self._last, self._save_wanted = Mark(self.step, time.monotonic()), False
            tell(
                f"the checkpoint of step {self.step} could not be written; training goes on",
                f"{error.strerror or error}: {self._dir}",
                "Mend the storage: until a later checkpoint succeeds, a crash costs all steps since the last one.",
            )

    def _commit_or_fail(self, capture: Capture) -> Path:
        try:
            return self._commit(capture)
        except OSError as error:
            raise SaveFailed(
                f"the checkpoint of step {self.step} could not be written to {self._dir}",
                error.strerror or str(error),
                "Mend the storage and run the job again: it goes on from the last checkpoint, which is untouched.",
            ) from error

    def _commit(self, capture: Capture) -> Path:
        self._channel.send({"type": messages.SAVING, "step": self.step})
        position = {"epoch": self._walk.epoch, "batches": self._walk.batches}
        facts = directory.make_facts(SERIES, healthy=_is_finite(self._loss), position=position)
        path = directory.commit(self._dir, self.step, capture.files(), facts)
        self._channel.send({"type": messages.CHECKPOINT, "step": self.step, "path": str(path)})
        self._saved, self._save_wanted = self._mark(), False
        self._last = Mark(self.step, time.monotonic())
        directory.drop_old(self._dir, self._keep, self._protected)
        return path

    def _exit_to_run_again(self) -> None:
        why = self._stop.signal.name if self._stop.signal else "request"
        tell(f"stopped by {why} at step {self.step}, saved in {self._dir}; run the same command to go on")
        raise SystemExit(exits.RUN_AGAIN)

    # Telling the keeper ----------------------------------------------------------------------------------------------

    def _tell_progress(self, total: int | None, metrics: Mapping[str, float]) -> None:
        now = time.monotonic()
        if not self._channel.is_open or now - self._told_at < _PROGRESS_SECONDS:
            return
        self._told_at = now
        message: dict[str, object] = {"type": messages.PROGRESS, "step": self.step}
        if self._loss is not None and _is_finite(self._loss):
            message["loss"] = float(self._loss)
        if total is not None:
            message["total"] = total
        if finite := {name: float(value) for name, value in metrics.items() if _is_finite(value)}:
            message["metrics"] = finite
        self._channel.send(message)


def _is_finite(loss: Any) -> bool:
    return loss is None or math.isfinite(float(loss))


def _parse_every(text: str) -> Any:
    try:
        return parse_schedule(text)
    except ValueError as error:
        raise Misuse(
            "perdure.Run(every=…) is not understood", str(error), 'Say "auto", "10min" or "500 steps".'
        ) from None


def _check_keep(keep: int | str) -> int:
    if not str(keep).isdecimal() or int(keep) < 1:
        raise Misuse("perdure.Run(keep=…) is not understood", f"{keep!r} is no number of checkpoints", "Say keep=3.")
    return int(keep)
