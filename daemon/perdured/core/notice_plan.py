"""What a notice asks of a job: save now, save late, save to the tier that fits, or begin nothing. Pure.

The time that is *usable* ends before the deadline, by a margin for how sure that is:

| sureness | margin |
|---|---|
| exact, or not before | 2 s: sources are asked every second or two, and clocks differ |
| a ceiling, or a guess | half of the window: what is promised as 30 s has often been 10 |
| any, of a source whose windows broke before | at least what the worst of its last few lacked (`windows`) |

Never more than a quarter of a window that is exact: of 2 s there would be nothing left. Of several notices the one
whose usable time ends first decides, which is not always the one with the earliest deadline.

What is *needed* is measured: the way to the next safe point, the copy, the write and, where the disk goes as well, the
upload; at its slowest, with a margin (`perdured.contract.deadline`).

| needed against usable | then |
|---|---|
| even the fastest so far does not fit before the deadline itself | nothing is begun: the job trains on |
| it may fit, or fits as far as a nearer tier | save now |
| it surely fits, and the window is long | a checkpoint at once, in case; then train on, and save late: just in time |
| it was never measured, and the window is long | the same, with two minutes for the late save |
| it surely fits | save now |

Doubt makes a save early, and never keeps one from being tried: what is late is not committed, and costs nothing but the
try. So it is given up at the deadline, not at the end of the usable time.

A job that has saved stands still, so to save late wins the steps until then. It costs nothing if the window breaks: the
checkpoint at once is as good as a save now. Long is a window in which that wins something worth while, and whose end
nobody had to guess; and any of more than five minutes, of which the usable half is long enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from perdured.contract.deadline import MARGIN, RESERVE, UNKNOWN, Span
from perdured.contract.pacing import Pace

from .notices.merging import Outlook
from .notices.notice import Notice
from .planner import SAID, SavePlan, Stage, list_stages, plan_save, until_safe_point
from .units import human_duration
from .value import Value
from .windows import Window, find_share

EXACT_MARGIN = 2.0
_OF_A_SHORT_WINDOW = 0.25
_OF_A_DOUBTFUL_ONE = 0.5
LONG = 300.0
"""Seconds: what is as far off as that is no emergency. A start still makes sense, and even half of it is long."""
WORTH_WHILE = 30.0
"""Seconds of training that must be won, for a save to be late."""
UNMEASURED = 120.0
"""Seconds that a save is given of which nobody knows how long it takes, where there is that much time."""
_BEFORE_LATE = 1.0
"""Seconds by which a late save is early: somebody has to be told, and to look."""

MEASURED = ("copy", "write", "slowest_copy", "fastest_write", "slowest_write", "slowest_step")
"""Of a pace: what only time tells."""

Kind = Literal["save_now", "save_late", "save_what_fits", "begin_nothing"]


class Usable(NamedTuple):
    """The time that a notice leaves, as far as it can be counted on."""

    notice: Notice
    until: float


class Speeds(NamedTuple):
    """What saving takes, as measured. None: not yet."""

    pace: Pace | None = None
    upload: Span | None = None
    """None also where there is no remote tier."""
    has_remote: bool = False
    is_silent: bool = False
    """It has said nothing yet, and may still say that it can stand still."""


def join_pace(now: Pace | None, before: Pace | None) -> Pace | None:
    """What this attempt has measured; what it has not yet, as the one before it had."""
    if now is None or before is None:
        return now or before
    return now._replace(**{name: getattr(before, name) for name in MEASURED if getattr(now, name) is None})


class Answer(Value):
    """What is done about the notices that stand."""

    kind: Kind
    plan: SavePlan
    begin_at: float
    """When the save that is followed by standing still begins."""
    until: float
    """When the usable time ends."""
    deadline: float
    notice: str
    """The id of the one that decides."""
    since: float
    """When that was first seen."""
    warning: str
    """What the notice says, in words."""
    why: str
    """What is done, in words."""

    @property
    def saves(self) -> bool:
        return self.kind != "begin_nothing"

    @property
    def is_sure(self) -> bool:
        """Nothing that was trained until the save begins will be lost, if the notice keeps its word."""
        return self.saves and self.plan.is_sure

    @property
    def tier(self) -> Literal["disk", "remote"] | None:
        """The furthest that may be reached."""
        return None if self.plan.tier == "memory" else self.plan.tier

    @property
    def saves_at_once(self) -> bool:
        """A checkpoint is made first, after which the job trains on."""
        return self.kind == "save_late"


def find_usable(outlook: Outlook, windows: Sequence[Window]) -> Usable | None:
    """Of all that stand, the one that leaves least; None: nothing is going to be ended."""
    ends = [_find_usable_of(notice, windows) for notice in outlook.notices if notice.is_ending]
    return min((end for end in ends if end is not None), key=lambda end: end.until, default=None)


def _find_usable_of(notice: Notice, windows: Iterable[Window]) -> Usable | None:
    if notice.deadline is None:
        return None
    window = max(notice.deadline - notice.received_at, 0.0)
    if notice.sureness in ("exact", "not_before"):
        margin = min(EXACT_MARGIN, _OF_A_SHORT_WINDOW * window)
    else:
        margin = _OF_A_DOUBTFUL_ONE * window
    share = find_share(windows, notice.source)
    broken = (1.0 - share) * window + (min(EXACT_MARGIN, _OF_A_SHORT_WINDOW * share * window) if share < 1.0 else 0.0)
    return Usable(notice, notice.deadline - max(margin, broken))


def plan_notice(outlook: Outlook, speeds: Speeds, windows: Sequence[Window], now: float) -> Answer | None:
    """The answer for a job that runs; None where no notice that stands ends anything."""
    usable = find_usable(outlook, windows)
    if usable is None:
        return None
    stages = _list_stages(speeds, outlook)
    plan = _plan(stages, speeds.pace, usable, now)
    late_at = _find_late_moment(plan, stages, usable, windows)
    if not _is_of_use(plan):
        kind: Kind = "begin_nothing"
    elif late_at is not None and late_at > now:
        kind = "save_late"
    else:
        kind = "save_now" if plan.tier == stages[-1].tier else "save_what_fits"
    at = late_at if kind == "save_late" and late_at is not None else now
    return Answer(
        kind=kind,
        plan=plan,
        begin_at=_wait_for_word(usable, at) if speeds.is_silent else at,
        until=usable.until,
        deadline=usable.notice.deadline or usable.until,
        notice=usable.notice.id,
        since=usable.notice.received_at,
        warning=usable.notice.why,
        why=_say(kind, plan, at - now),
    )


def _plan(stages: tuple[Stage, ...], pace: Pace | None, usable: Usable, now: float) -> SavePlan:
    """As far as can be counted on; where that is of no use, as far as the deadline itself would allow."""
    boundary, left = until_safe_point(pace), max(usable.until - now, 0.0)
    plan = plan_save(stages, boundary, left)
    if _is_of_use(plan):
        return plan
    hope = plan_save(stages, boundary, max((usable.notice.deadline or now) - now, 0.0))
    if hope.tier is None or not _is_of_use(hope):
        return plan
    why = f"saves {SAID[hope.tier]}: not sure, as only {human_duration(left)} can be counted on"
    return hope.model_copy(update={"sure_tier": None, "why": why})


def _is_of_use(plan: SavePlan) -> bool:
    """What is in memory alone goes with the machine."""
    return plan.tier in ("disk", "remote")


def find_start_fence(outlook: Outlook, windows: Sequence[Window], now: float) -> str | None:
    """Why nothing is started on this machine now; None where nothing speaks against it."""
    usable = find_usable(outlook, windows)
    if usable is None or usable.until - now > LONG:
        return None
    return f"nothing is started here: {usable.notice.why}"


def when_fence_falls(outlook: Outlook, windows: Sequence[Window], now: float) -> float | None:
    """When a notice that is still far off will keep starts away; None where none will by the passing of time alone."""
    usable = find_usable(outlook, windows)
    return usable.until - LONG if usable is not None and usable.until - now > LONG else None


def _list_stages(speeds: Speeds, outlook: Outlook) -> tuple[Stage, ...]:
    stages = list_stages(speeds.pace)
    if speeds.has_remote and outlook.disk != "kept":
        return (*stages, Stage("remote", speeds.upload or UNKNOWN))
    return stages


def _find_late_moment(
    plan: SavePlan, stages: Sequence[Stage], usable: Usable, windows: Sequence[Window]
) -> float | None:
    """When a save begins that is just in time; None where it is not to be late."""
    window = usable.until - usable.notice.received_at
    if plan.seconds is None and window > LONG:
        return usable.until - UNMEASURED
    if not plan.is_sure or plan.tier != stages[-1].tier or plan.seconds is None:
        return None
    need = plan.seconds * MARGIN + RESERVE + _BEFORE_LATE
    is_known = usable.notice.sureness in ("exact", "not_before") and find_share(windows, usable.notice.source) == 1.0
    if window > LONG or (is_known and window >= 2 * need + WORTH_WHILE):
        return usable.until - need
    return None


def _wait_for_word(usable: Usable, at: float) -> float:
    """A signal in the middle of its imports would only cost its start: half of the time is waited for its word."""
    return max(at, (usable.notice.received_at + usable.until) / 2)


def _say(kind: Kind, plan: SavePlan, wait: float) -> str:
    if kind == "save_late":
        takes = f" ({human_duration(plan.seconds)} at most)" if plan.seconds is not None else ""
        return f"saves at once, trains on, and saves again in {human_duration(wait)}, just in time{takes}"
    if kind in ("save_now", "save_what_fits"):
        return f"{plan.why}; then it stands still"
    stays = "it trains on, and the checkpoint before stays"
    if plan.tier is None:
        return f"{plan.why}; {stays}"
    return f"only memory could be reached in {human_duration(plan.left)}, and that goes with the machine; {stays}"
