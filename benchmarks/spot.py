"""The lives of spot machines, and of one training job on them, in simulated time: what `preemption.py` replays.

A *trace* says when a machine was to be had. Real ones are read from a clone of github.com/skypilot-org/spot-traces (the
data of "Can't Be Late", NSDI 2024; it names no license, so none of it is kept here). Without it traces are drawn from
a seed: lives and gaps log-normal, with the median and the spread that those of its preemption traces have.

What is simulated: a job that starts and restores whenever there is a machine, trains, saves now and then, hears of the
end some time before it, and loses what was not durable by then. How long a save takes varies from save to save. The
policies differ in when they save and in what they do with a notice. Perdure's interval and its planner are the
product's own code (`perdured.contract.pacing`, `perdured.core.notice_plan`), with what it costs: the copies in memory,
which are for the death of a process, of which there is none here, and training that is slower during a write.

Known limits. Writing is what it takes until the bytes are where the next machine finds them. What broken windows taught
is known to the next machine, as it is where the daemon's state lies on such a disk. Nobody is warned of half of the
ends and not of the others, which happens.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from perdured.contract.pacing import BURDEN, Costs, History, Pace, choose_pace
from perdured.core.notice_plan import Answer, Speeds, plan_notice
from perdured.core.notices.merging import merge_notices
from perdured.core.notices.notice import Notice
from perdured.core.windows import Life, Window, judge_window, learn

Interval = tuple[float, float]
LIVES = (29 * 60.0, 1.73)
"""Of a machine: the median in seconds, and the standard deviation of the logarithm."""
GAPS = (14 * 60.0, 1.39)
WEEK = 7 * 86400.0
_SPREAD_OF_WRITES = 0.15
_REMEMBERED = 8


class Trace(NamedTuple):
    name: str
    lives: tuple[Interval, ...]

    @property
    def available(self) -> float:
        return sum(end - begin for begin, end in self.lives)


def load_traces(folder: Path, kind: str) -> list[Trace]:
    """Those of one machine that was ever taken away. Of the kind "preemption" it was really held; "availability" says
    whether one could have been had, asked every few minutes."""
    paths = sorted(folder.glob(f"{kind}/1-node/**/*.json"))
    traces = [Trace(f"{path.parent.name}/{path.stem}", tuple(_read_lives(path))) for path in paths]
    return [trace for trace in traces if len(trace.lives) > 1]


def _read_lives(path: Path) -> Iterator[Interval]:
    told = json.loads(path.read_text())
    gap, began = float(told["metadata"]["gap_seconds"]), None
    for number, count in enumerate([*told["data"], 0]):
        if count and began is None:
            began = number * gap
        elif not count and began is not None:
            yield began, number * gap
            began = None


def draw_trace(seed: int, length: float = WEEK) -> Trace:
    drawn, now, lives = random.Random(seed), 0.0, []
    while now < length:
        life = math.exp(drawn.gauss(math.log(LIVES[0]), LIVES[1]))
        lives.append((now, min(now + life, length)))
        now += life + math.exp(drawn.gauss(math.log(GAPS[0]), GAPS[1]))
    return Trace(f"seed {seed}", tuple(lives))


# The job ---------------------------------------------------------------------------------------------------------


class Size(NamedTuple):
    """Seconds that things take, on average."""

    name: str
    start: float
    """From a machine to the first step: the interpreter, the data, the restore."""
    step: float
    copy: float
    write: float


class Forewarning(NamedTuple):
    """How a cloud warns."""

    name: str
    promised: float
    sureness: str
    least: float
    """Seconds that are there at worst; between that and what was promised, any number is as likely."""


class Left(NamedTuple):
    """What is left when the job can act on a notice."""

    passed: float
    """Since it came: the job was starting, or saving."""
    promised: float
    """From now on."""
    kept: float
    """From now on, and unknown to everybody."""


@dataclass
class Run:
    """One job on one trace under one policy. Seconds of training are counted, not steps."""

    size: Size
    warning: Forewarning
    drawn: random.Random
    trained: float = 0.0
    saved: float = 0.0
    lived: float = 0.0
    """Seconds in which there was a machine."""
    lost: float = 0.0
    """Trained and not durable when the machine went."""
    ends: int = 0
    in_windows: float = 0.0
    """Seconds of training between a notice and the end, that were kept."""
    window_seconds: float = 0.0
    windows: tuple[Window, ...] = ()
    took: list[float] = field(default_factory=list)
    """The last saves."""

    def draw_write(self) -> float:
        seconds = self.size.write * math.exp(self.drawn.gauss(0.0, _SPREAD_OF_WRITES))
        self.took = [*self.took, seconds][-_REMEMBERED:]
        return seconds

    def pace(self) -> Pace:
        return Pace(
            copy=self.size.copy,
            slowest_copy=self.size.copy * 1.2,
            fastest_write=min(self.took, default=None),
            slowest_write=max(self.took, default=None),
            slowest_step=self.size.step,
            snapshot_every=1.0,
        )


class Habit(NamedTuple):
    """How a job saves without any notice."""

    every: float
    is_beside: bool = False
    """It trains on while a checkpoint is written, after a copy into memory."""
    copies: float = 0.0
    """The share of the time that goes to snapshots in memory."""


class Policy(NamedTuple):
    name: str
    choose: Callable[[Run], Habit]
    heed: Callable[[Run, Left], float] | None
    """After a notice: what is durable at the end."""


def replay(trace: Trace, size: Size, warning: Forewarning, policy: Policy, seed: int = 0) -> Run:
    run = Run(size, warning, random.Random(f"{trace.name} {size.name} {warning.name} {seed}"))
    for begin, end in trace.lives:
        _live(run, policy, end - begin)
    return run


def count_ideal(trace: Trace, size: Size) -> float:
    """Seconds of training where nothing is ever lost and saving costs nothing: only the starts are left."""
    return sum(max(end - begin - size.start, 0.0) for begin, end in trace.lives)


def _live(run: Run, policy: Policy, life: float) -> None:
    """One machine, from its start to its end."""
    promised = min(run.warning.promised, life)
    kept = min(run.drawn.uniform(run.warning.least, run.warning.promised), promised)
    run.trained, run.ends = run.saved, run.ends + 1
    noticed = life - kept if policy.heed is not None else life
    now = _train(run, policy, life, noticed)
    if policy.heed is not None and now < life:
        before, passed = run.trained, now - noticed
        run.saved = max(run.saved, policy.heed(run, Left(passed, promised - passed, life - now)))
        run.in_windows += max(run.saved - before, 0.0)
        run.window_seconds += life - now
    run.lived += life
    run.lost += max(run.trained - run.saved, 0.0)


def _train(run: Run, policy: Policy, life: float, until: float) -> float:
    """Starts, trains and saves until then, or until the end of what is under way; returns the time."""
    now, pending = run.size.start, (math.inf, 0.0)
    while now < until:
        habit = policy.choose(run)
        stretch = min(habit.every, until - now)
        run.trained += stretch * (1 - habit.copies)
        now += stretch
        _settle(run, pending, now)
        if stretch < habit.every:
            break
        takes = run.draw_write()
        pending = (now + takes + (run.size.copy if habit.is_beside else 0.0), run.trained)
        now += run.size.copy + BURDEN * takes if habit.is_beside else takes
    _settle(run, pending, life)
    return now


def _settle(run: Run, pending: tuple[float, float], now: float) -> None:
    """What was being written is durable, if its time has come."""
    if pending[0] <= now:
        run.saved = max(run.saved, pending[1])


# Policies --------------------------------------------------------------------------------------------------------


def save_every(seconds: float) -> Callable[[Run], Habit]:
    return lambda _run: Habit(seconds)


def save_as_chosen(run: Run) -> Habit:
    """The interval `auto`, on machines that have been lost this often."""
    costs = Costs(run.size.copy, run.took[-1] if run.took else None)
    pace = choose_pace(History(run.lived, 0, run.ends), costs, has_memory=True)
    assert pace.save_every is not None
    assert pace.snapshot_every is not None
    copies = run.size.copy / (run.size.copy + pace.snapshot_every)
    return Habit(pace.save_every, is_beside=True, copies=copies)


def heed_in_the_handler(run: Run, window: Left) -> float:
    """At once, whatever it takes; then the process ends."""
    takes = run.drawn.uniform(0.0, run.size.step) + run.draw_write()
    return run.trained if takes <= window.kept else run.saved


def heed_by_plan(run: Run, window: Left) -> float:
    """As the daemon does, in the time of this window: 0 is now."""
    notice = Notice(
        id="spot", kind="reclaim", source="aws", why="it is taken back", deadline=window.promised, follows="power_off",
        sureness=run.warning.sureness, received_at=-window.passed, boot_id="boot", disk="kept",
    )  # fmt: skip
    answer = plan_notice(merge_notices([notice]), Speeds(run.pace()), run.windows, 0.0)
    assert answer is not None
    durable = _carry_out(run, answer, window.kept)
    run.windows = learn(run.windows, _list_judged(Life(notice, window.kept)))
    return durable


def _list_judged(life: Life) -> Sequence[Window]:
    judged = judge_window(life)
    return [judged] if judged is not None else []


def _carry_out(run: Run, answer: Answer, kept: float) -> float:
    durable, now = run.saved, 0.0
    if not answer.saves:
        run.trained += kept
        return durable
    if answer.saves_at_once:
        durable, now = _save(run, durable, now, kept)
    stretch = max(min(answer.begin_at, kept) - now, 0.0)
    run.trained += stretch
    return _save(run, durable, now + stretch, kept)[0]


def _save(run: Run, durable: float, now: float, kept: float) -> tuple[float, float]:
    """What is durable once this save has ended, or the machine, and when training goes on."""
    at = now + run.drawn.uniform(0.0, run.size.step) + run.size.copy
    return (run.trained if at + run.draw_write() <= kept else durable), at
