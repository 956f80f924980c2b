"""Where a run is in its epochs and its data, and the two loops that take it further.

Three things make a resumed run take the same walk as one that was never broken off.

**The step boundary.** A batch that was handed out and not yet reported is in the middle of an update: `is_inside_step`.
Nothing is saved there. After the report, the walk stands between two steps.

**What runs again.** In the middle of a pass, the code after `report` is *not* run again by a resumed job, which goes
on with the next batch. Code outside a pass (before it in an epoch, after it, around the loops) *is* run again, from
the last point that the walk passed: the start of the epoch, or the end of the pass. These points are announced through
`on_boundary`, so that the state of that moment can be kept.

**Random numbers.** The stream that trains goes from a report to the next batch. What other code draws in between (an
evaluation, a sample for the log) is put back before the next batch, since a resumed run would not draw it. For code
that runs again, the state at its beginning is kept: at the start of the epoch (`opened`), and at the end of each pass.

**What the beginning of an epoch changes.** It runs again when a job is resumed in the middle of the epoch, on a state
that already has its effects (`run.values["sum"] = 0` would clear half a sum). So when the pass goes on, `on_reopen`
lets the run put back what was changed since the start of the epoch.

**Leaving.** A script may leave its loop because it is to stop (`run.should_stop`). Then the pass is not over but
`is_broken_off`: its place is behind the last batch that was reported, and one that was handed out since comes again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from perdure.errors import Misuse
from perdure.feeds import Mark, Source, check_kind, make_source
from perdure.passes import Over, Pass
from perdure.rng import Snapshot, Tree, restore_snapshot, snapshot_from_tree, snapshot_to_tree, take_snapshot


@dataclass(frozen=True)
class Hooks:
    """What the walk asks of the run."""

    check: Callable[[], None]
    """Between two batches, and between two epochs: is there something to do?"""
    on_pause: Callable[[], None]
    """A pass begins or is over: no step is made for a while."""
    on_boundary: Callable[[], None]
    """Here code begins that runs again."""
    on_reopen: Callable[[], None]
    """A pass goes on in an epoch whose beginning has run again."""
    is_stopping: Callable[[], bool]
    """Does the script know that it is to stop, so that a loop it leaves is one to be gone on with?"""


class Walk:
    """The position of a run."""

    def __init__(self, hooks: Hooks) -> None:
        self.epoch = 0
        self.is_inside_step = False
        self.is_broken_off = False
        self.is_complete = False
        self._hooks = hooks
        self._sources: dict[int, tuple[object, Source]] = {}
        self._opened: Snapshot | None = None
        self._passes: list[Pass] = []
        self._former: list[Tree] = []
        self._rewind: Snapshot | None = None
        self._reported_rng: Snapshot | None = None
        # From the checkpoint, until the loops come by.
        self._saved: list[Tree] = []
        self._saved_former: list[Tree] = []
        self._saved_rng: Snapshot | None = None
        self._to_pass_over = 0

    # What the run tells and asks -------------------------------------------------------------------------------------

    def end_step(self) -> None:
        """The batches handed out so far are done with."""
        self.is_inside_step = False
        self._rewind = self._reported_rng = take_snapshot()
        for each in self._passes:
            each.reported = each.feed.mark()

    def rng(self) -> Snapshot:
        """The random state that the next batch begins with."""
        return (self._reported_rng if self.is_broken_off else self._rewind) or take_snapshot()

    @property
    def is_inside_pass(self) -> bool:
        return not self.is_broken_off and any(each.end is None for each in self._passes)

    @property
    def batches(self) -> int:
        """Handed out in this epoch."""
        saved: list[int] = [each["place"]["batches"] for each in self._saved]
        return sum(self._mark_of(each)[0] for each in self._passes) + sum(saved)

    def _mark_of(self, each: Pass) -> Mark:
        return each.reported if self.is_broken_off and each.end is None else each.feed.mark()

    def mark(self) -> tuple[int, ...]:
        """Differs if the walk has gone on."""
        ends = sum(each.end is not None for each in self._passes)
        ends += sum(each["end"] is not None for each in self._saved)
        return (self.epoch, self._opened is not None, self.batches, ends)

    def source(self, data: object) -> Source:
        """Always the same for the same data. Errors: Misuse."""
        if id(data) not in self._sources:
            self._sources[id(data)] = (data, make_source(data))
        return self._sources[id(data)][1]

    def pass_over(self, batches: int) -> None:
        """The next so many are not handed out: with them the loss was lost."""
        self._to_pass_over = batches

    # The loops -------------------------------------------------------------------------------------------------------

    def epochs(self, count: int) -> Iterator[int]:
        while self.epoch < count:
            if self._opened is None:
                self._opened = take_snapshot()
            else:
                restore_snapshot(self._opened)
            self._hooks.on_boundary()
            self._hooks.check()
            yield self.epoch
            if self.is_broken_off:
                self._hooks.check()
            self._end_epoch()
        self._end()

    def passes(self, data: object, count: int) -> Iterator[Any]:
        """All batches of the remaining epochs, without code of the user's between them."""
        while self.epoch < count:
            _set_epoch(data, self.epoch)
            yield from self._go_through(data, is_flat=True)
            self._end_epoch()
        self._end()

    def one_pass(self, data: object) -> Iterator[Any]:
        yield from self._go_through(data, is_flat=False)
        self._hooks.on_pause()
        self._hooks.on_boundary()
        self._hooks.check()

    def _go_through(self, data: object, *, is_flat: bool) -> Iterator[Any]:
        self._hooks.on_pause()
        self._hooks.check()
        current = self._open(data)
        try:
            while current.end is None:
                self._put_back()
                try:
                    batch = next(current.feed)
                except StopIteration:
                    break
                if self._to_pass_over:
                    self._to_pass_over -= 1
                    continue
                self.is_inside_step = True
                yield batch
                self._hooks.check()
        except GeneratorExit:
            if not sys.is_finalizing():
                self._leave(current, is_to_go_on=is_flat or self._hooks.is_stopping())
                self._hooks.on_pause()
            raise
        current.close()
        self._rewind = None

    def _leave(self, current: Pass, *, is_to_go_on: bool) -> None:
        """The user's loop was left by a `break`.

        Within an epoch that is the end of the pass. But if the whole run is being left, the pass is only broken off:
        it goes on behind the last batch that was reported.
        """
        if is_to_go_on:
            self.is_broken_off, self.is_inside_step = True, False
        else:
            current.close()
            self._rewind = None
        self._hooks.on_boundary()

    def _open(self, data: object) -> Pass:
        if any(each.data is data for each in self._passes):
            raise Misuse(
                "the same data is gone through twice in one epoch",
                "Perdure could not tell the two passes apart after a restart",
                "Put the loop over epochs into `for epoch in run.epochs(n):`, or use `run.batches(data, epochs=n)`.",
            )
        self._close_broken_off()
        source = self.source(data)
        self._reported_rng = take_snapshot()
        if self._saved:
            current = self._reopen(data, source, self._saved.pop(0))
        else:
            self._conclude_former(source, len(self._passes))
            current = Pass(data, source.open())
        self._passes.append(current)
        return current

    def _reopen(self, data: object, source: Source, saved: Tree) -> Pass:
        place = saved["place"]
        check_kind(source, place)
        if self._opened is not None:
            self._hooks.on_reopen()
        if saved["end"] is None:
            if self._saved_rng is not None:
                self._rewind = self._reported_rng = self._saved_rng
                self._saved_rng = None
            feed = source.reopen(place)
            return Pass(data, feed, feed.mark())
        end = snapshot_from_tree(saved["end"])
        source.conclude(place)
        restore_snapshot(end)
        over = Over(place)
        return Pass(data, over, over.mark(), place, end)

    def _conclude_former(self, source: Source, number: int) -> None:
        """Bring a source that was not used yet in this process to where the epoch before the checkpoint left it."""
        if number < len(self._saved_former) and (place := self._saved_former[number]):
            check_kind(source, place)
            source.conclude(place)
            self._saved_former[number] = {}

    def _put_back(self) -> None:
        """Go on with the random numbers where the last report left them."""
        if self._rewind is not None:
            restore_snapshot(self._rewind)
            self._rewind = None

    def _close_broken_off(self) -> None:
        """Something else was begun: it is over after all."""
        for each in self._passes if self.is_broken_off else ():
            each.close()
        self.is_broken_off = False

    def _end_epoch(self) -> None:
        self._close_broken_off()
        self._former = [each.end or each.feed.place(each.feed.mark()) for each in self._passes]
        self._former += [saved["place"] for saved in self._saved]
        used = {id(each.data) for each in self._passes}
        self._sources = {key: each for key, each in self._sources.items() if key in used}
        self._passes.clear()
        self._saved.clear()
        self._saved_former.clear()
        self._opened = self._rewind = self._saved_rng = self._reported_rng = None
        self.epoch += 1

    def _end(self) -> None:
        self.is_complete = True
        self._hooks.on_boundary()

    # As values of a checkpoint ---------------------------------------------------------------------------------------

    def to_tree(self) -> Tree:
        marks = [(each, self._mark_of(each)) for each in self._passes]
        passes = [each.to_tree(mark) for each, mark in marks if mark[0] or each.end is not None]
        return {
            "epoch": self.epoch,
            "opened": None if self._opened is None else snapshot_to_tree(self._opened),
            "passes": passes + self._saved,
            "former": self._former,
        }

    def load_tree(self, tree: Tree, rng: Snapshot, data: object) -> None:
        """Stand where `tree` was taken. `rng` is the random state that the next batch begins with.

        `data` is what the first pass of an epoch will be over, if that is known by now: a generator of its loader
        is then brought to its state before the user's own code can set it otherwise.
        """
        self.epoch = tree["epoch"]
        self._opened = None if tree["opened"] is None else snapshot_from_tree(tree["opened"])
        self._saved = list(tree["passes"])
        self._former = list(tree["former"])
        self._saved_former = list(tree["former"])
        self._saved_rng = rng if any(saved["end"] is None for saved in self._saved) else None
        restore_snapshot(rng)
        if data is not None and not self._saved:
            self._conclude_former(self.source(data), 0)


def _set_epoch(data: object, epoch: int) -> None:
    """For what shuffles by the epoch's number, as torch's DistributedSampler does."""
    for owner in (data, *(getattr(data, name, None) for name in ("batch_sampler", "sampler", "dataset"))):
        if callable(set_epoch := getattr(owner, "set_epoch", None)):
            set_epoch(epoch)
