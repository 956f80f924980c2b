"""`perdure.Run`: the object that a training script holds. What it decides is here; what it does, in the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from perdure.channel import ParkWish, SaveWish, open_channel
from perdure.directory import Found, set_aside_broken
from perdure.errors import Misuse, tell
from perdure.health import Health
from perdure.parking import offer_to_park, stand_still
from perdure.progress import Progress
from perdure.restore import Damaged, Restored, restore_changed, restore_state
from perdure.saver import Saver, SaveRequest
from perdure.settings import load_settings
from perdure.signals import StopFlag
from perdure.stacks import register_stacks
from perdure.state import Capture, Moment, Stateful, capture_state, check_objects
from perdure.walk import Hooks, Walk
from perdured.contract import exits


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
        every: between two checkpoints: "auto" (by what saving costs and how often the job fails), "10min", "500 steps".
        keep: how many checkpoints; never fewer than two.
        dir: where they are written; relative to the working directory.
        fresh: begin at step 0, and set aside what checkpoints there are; a restarted job goes on all the same.
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
        self._is_fresh = fresh
        self._settings = load_settings(every, keep, dir)
        self._walk = Walk(
            Hooks(
                self._act,
                self._begin_pause,
                self._reach_boundary,
                self._undo_beginning_of_epoch,
                lambda: self._is_stop_seen,
            )
        )
        self._start: Path | None = None
        self._is_entered = self._is_left = False
        self._stop = StopFlag()
        self._loss: Any = None
        self._health = Health()
        self._boundary: Capture | None = None  # at the last point from which code runs again: see `walk`
        self._wish: SaveWish | None = None
        self._is_stop_seen = False
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
                is marked unhealthy, and nobody resumes from it. The first time is told.
            total: how many steps there will be, for the display.
            metrics: other numbers, for the display.
        """
        self._require_inside("report")
        self.step += 1
        self._loss = loss.detach() if hasattr(loss, "detach") else loss
        if isinstance(loss, float):
            self._health.note(loss, self.step)  # a tensor would have to come from its device for it, at every step
        self._walk.end_step()
        self._boundary = None
        self._progress.note(self.step, self._loss, total, metrics)
        self._act()

    def safe_point(self) -> None:
        """Save or stop here, if it is time to; else do nothing. For long work between steps, such as an evaluation,
        which is then not taken for a hang.

        Between `batches` and `report` it does nothing: an update may be half done.
        """
        self._require_inside("safe_point")
        if not self._walk.is_inside_step:
            self._progress.tell_evaluation()
        self._act()

    def save(self) -> Path | None:
        """Make a checkpoint now, and return its path. Between `batches` and `report`: at the next `report`; None.

        Errors: SaveFailed if the storage refuses it.
        """
        self._require_inside("save")
        capture = self._find_state()
        if capture is None:
            self._wish = SaveWish()
            return None
        self._wish = None
        return self._saver.save(self._request(capture))

    @property
    def epoch(self) -> int:
        """The present epoch, from 0; after the loops, how many there were."""
        return self._walk.epoch

    @property
    def should_stop(self) -> bool:
        """Whether the job has been asked to stop. If you leave your loop for it, the block's end saves and exits 75."""
        self._is_stop_seen = self._is_stop_seen or self._stop.signal is not None
        return self._stop.signal is not None

    # Begin and end ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Run:  # noqa: PYI034  typing.Self is of Python 3.11
        if self._is_entered:
            raise Misuse("this Run was entered before", "each is good for one `with` block", "Make a new one.")
        self._is_entered = True
        self._channel = open_channel()
        self._progress = Progress(self._channel)
        try:
            self._saver = Saver(self._settings, self._progress, self._channel)
        except BaseException:
            self._channel.close()
            raise
        try:
            self._stop.install()
            register_stacks(self._channel)
            offer_to_park(self._channel)
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
        while (found := self._saver.find_start(is_fresh=self._is_fresh)) is not None:
            try:
                self._go_on_from(found, restore_state(found, self._objects))
                break
            except Damaged as damaged:
                set_aside_broken(found.path, damaged.verdict)
        self._walk.pass_over(self._settings.skipped_batches)

    def _go_on_from(self, found: Found, restored: Restored) -> None:
        moment = restored.moment
        self._start = found.path
        self.step = self.resumed_from_step = moment.step
        self.values.update(moment.values)
        self._walk.load_tree(moment.position, moment.rng, self._data)
        self._saver.go_on_from(found, self._where())
        tell(f"resumed from step {self.step} ({found.path}{', from memory' if restored.is_from_memory else ''})")

    def _finish(self) -> None:
        if self._is_stop_seen and not self._walk.is_complete:
            self._stop_now(self._find_state())
        elif not self._saver.is_saved(self._where()):
            self._saver.save(self._request(self._capture()))

    def _leave(self) -> None:
        self._is_left = True
        # Work that is complete shall not be reported as killed by a signal that came a moment too late; the keeper
        # ends a process that takes its time after this. Without a keeper, the signals mean what they meant before.
        keeps_flag = self._walk.is_complete and self._channel.is_open
        self._stop.restore(but=signal.SIGTERM if keeps_flag else None)
        self._channel.close()
        self._saver.close()

    def _require_inside(self, what: str) -> None:
        if not self._is_entered or self._is_left:
            why = "the `with` block is over" if self._is_left else "it was not entered"
            raise Misuse(f"run.{what}() outside its Run", why, "Use `with perdure.Run(...) as run:` around the loops.")

    # Deciding --------------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        """Between two steps: save if it is time to, and go if the job is to stop."""
        wish = self._channel.take_save_wish()
        self._wish = self._wish.join(wish) if self._wish and wish else self._wish or wish
        is_stopping, park = self._stop.signal is not None, self._channel.park_wish
        if not (is_stopping or park is not None or self._wish is not None or self._saver.is_due(self.step)):
            if self._saver.is_snapshot_due():
                self._saver.take_snapshot(self._find_request)
            return
        capture = self._find_state()
        if is_stopping and (capture is not None or self._walk.is_broken_off):
            self._stop_now(capture)
        elif capture is not None and park is not None:
            self._park(capture, park)
        elif capture is not None:
            self._saver.try_to_save(self._request(capture), self._wish.deadline if self._wish is not None else None)
            self._wish = None

    def _park(self, capture: Capture, wish: ParkWish) -> None:
        """Save, and stand still here until the keeper lets the run go on; or stop, if that is asked for meanwhile."""
        self._wish = None
        is_saved = self._saver.save_by(self._request(capture), wish.deadline)
        stand_still(self._channel, self.step, is_saved=is_saved, is_over=self._stop.is_set)
        self._saver.note_pause()
        if self._stop.is_set():
            self._act()

    def _stop_now(self, capture: Capture | None) -> NoReturn:
        """Save what is not saved, and exit. `capture` is None if the state of the last step is gone meanwhile."""
        is_too_late = not (self._saver.is_held_in_memory or self._saver.fits(self._stop.deadline))
        if capture is not None and not is_too_late and not self._saver.is_saved(self._where()):
            self._saver.save(self._request(capture), is_last=True)
        what = f"stopped by {self._stop.signal.name if self._stop.signal else 'request'} at step {self.step}"
        why = (
            f"saved in {self._saver.root}"
            if self._saver.is_saved(self._where())
            else "saving takes longer than there is time before the kill; the checkpoint before is untouched"
            if is_too_late
            else "tensors were changed after the last step"
        )
        tell(f"{what}; {why}; run the same command to go on")
        raise SystemExit(exits.RUN_AGAIN)

    def _find_state(self) -> Capture | None:
        """The state to save; None where none can be had that a resumed run could go on from."""
        if self._walk.is_inside_step:
            return None
        if self._walk.is_inside_pass or self._boundary is None:
            return self._capture()
        return self._boundary if self._boundary.is_unchanged() else None

    def _begin_pause(self) -> None:
        if not self._is_left:
            self._progress.tell_evaluation()

    def _reach_boundary(self) -> None:
        if not self._is_left:
            self._boundary = self._capture()

    def _undo_beginning_of_epoch(self) -> None:
        """A resumed epoch goes on: what the code at its beginning has changed anew is put back (see `walk`)."""
        if self._boundary is not None and self._start is not None:
            restore_changed(self._start, self._objects, self.values, self._boundary, self._capture())

    def _capture(self) -> Capture:
        walk = self._walk
        moment = Moment(self.step, walk.epoch, self.values, walk.rng(), walk.to_tree())
        return capture_state(self._objects, moment)

    def _request(self, capture: Capture) -> SaveRequest:
        position = {"epoch": self._walk.epoch, "batches": self._walk.batches}
        is_healthy = self._loss is None or self._health.note(self._loss, self.step)
        return SaveRequest(capture, self.step, position, is_healthy, self._where())

    def _find_request(self) -> SaveRequest | None:
        capture = self._find_state()
        return None if capture is None else self._request(capture)

    def _where(self) -> tuple[int, ...]:
        return (self.step, *self._walk.mark())
