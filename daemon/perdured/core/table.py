"""The table of phase x trigger. It is total: every pair has a cell, and "nothing follows" is written out as such.

House rules: a job's phase changes only through this table; the table knows no I/O; a trigger is a level, so each
cell must be right when it is entered again. The page `docs/states.md` is drawn from it (`python -m
perdured.core.table`), and a test compares them.

Where an attempt is under way (starting, running, saving), facts about it come before wishes, see
`perdured.core.triggers`. Where none is (queued, waiting, and the phases of rest), only wishes and the time count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import steps
from .steps import Context, Decision
from .triggers import Trigger as T

Step = Callable[[Context], Decision]


class Cell(NamedTuple):
    step: Step
    leads_to: tuple[str, ...]


Row = dict[T, Cell]

_NOTHING = Cell(steps.then_nothing, ())
_FACTS = (
    T.HELD,
    T.ABSENT,
    T.DONE,
    T.AGAIN,
    T.PERMANENT,
    T.FAILURE,
    T.NOT_STARTED,
    T.REFUSED,
    T.LOST,
    T.REBOOTED,
    T.ORPHANED,
    T.UNKNOWN,
)


def _without_attempt(cells: Row) -> Row:
    """A row of a phase in which no attempt is under way: facts about old ones change nothing."""
    return {fact: _NOTHING for fact in _FACTS} | cells


_LAUNCH = Cell(steps.then_launch, ("starting",))
_STOPPED = Cell(steps.then_never_start, ("stopped",))
_PARKED = Cell(steps.then_never_start, ("parked",))
_QUEUE = Cell(steps.then_queue, ("queued",))
_FORGET = Cell(steps.then_forget, ())
_HOLD = Cell(steps.then_hold_still, ())
_ASK = Cell(steps.then_ask_to_stop, ("saving",))
_ASK_AGAIN = Cell(steps.then_ask_again_to_stop, ())
_AFTER = ("waiting", "stopped", "parked")

_ENDS: Row = {
    T.DONE: Cell(steps.then_succeed, ("succeeded", *_AFTER)),
    T.AGAIN: Cell(steps.then_run_again, _AFTER),
    T.PERMANENT: Cell(steps.then_fail, ("failed",)),
    T.FAILURE: Cell(steps.then_restart_after_failure, ("failed", *_AFTER)),
    T.NOT_STARTED: Cell(steps.then_fail, ("failed",)),
    T.REFUSED: Cell(steps.then_refuse, ("failed", *_AFTER)),
    T.LOST: Cell(steps.then_restart_after_loss, ("failed", *_AFTER)),
    T.REBOOTED: Cell(steps.then_restart_after_reboot, _AFTER),
    T.UNKNOWN: _HOLD,
}

TABLE: dict[str, Row] = {
    "queued": _without_attempt(
        {
            T.DUE: _LAUNCH,
            T.ASKED_STOP: _STOPPED,
            T.ASKED_PARK: _PARKED,
            T.ASKED_RESTART: _LAUNCH,
            T.ASKED_REMOVE: _FORGET,
        }
    ),
    "starting": _ENDS
    | {
        T.DUE: _NOTHING,
        T.HELD: Cell(steps.then_run, ("running",)),
        T.ABSENT: Cell(steps.then_launch_again, ("starting", "waiting", "failed")),
        T.ORPHANED: Cell(steps.then_watch_orphan, ()),
        T.ASKED_STOP: _ASK,
        T.ASKED_PARK: _ASK,
        T.ASKED_RESTART: _ASK,
        T.ASKED_REMOVE: _ASK,
    },
    "running": _ENDS
    | {
        T.DUE: _NOTHING,
        T.HELD: Cell(steps.then_watch, ()),
        T.ABSENT: Cell(steps.then_restart_after_loss, ("failed", *_AFTER)),
        T.ORPHANED: Cell(steps.then_watch_orphan, ()),
        T.ASKED_STOP: _ASK,
        T.ASKED_PARK: _ASK,
        T.ASKED_RESTART: _ASK,
        T.ASKED_REMOVE: _ASK,
    },
    "saving": _ENDS
    | {
        T.DUE: _NOTHING,
        T.HELD: Cell(steps.then_watch, ()),
        T.ABSENT: Cell(steps.then_restart_after_loss, ("failed", *_AFTER)),
        T.ORPHANED: Cell(steps.then_watch_orphan, ()),
        T.ASKED_STOP: _ASK_AGAIN,
        T.ASKED_PARK: _ASK_AGAIN,
        T.ASKED_RESTART: _ASK_AGAIN,
        T.ASKED_REMOVE: _ASK_AGAIN,
    },
    "waiting": _without_attempt(
        {
            T.DUE: Cell(steps.then_wait_or_launch, ("starting",)),
            T.ASKED_STOP: _STOPPED,
            T.ASKED_PARK: _PARKED,
            T.ASKED_RESTART: _LAUNCH,
            T.ASKED_REMOVE: _FORGET,
        }
    ),
} | {
    rest: _without_attempt(
        {
            T.DUE: _NOTHING,
            T.ASKED_STOP: Cell(steps.then_stay, ()),
            T.ASKED_PARK: Cell(steps.then_stay, ()),
            T.ASKED_RESTART: _QUEUE,
            T.ASKED_REMOVE: _FORGET,
        }
    )
    for rest in ("parked", "stopped", "succeeded", "failed")
}


def draw_states() -> str:
    """`docs/states.md`: the diagram and every cell, from the table itself."""
    lines = ["# Phases and what moves a job between them", "", "Generated from `perdured.core.table` by `make docs`."]
    lines += ["", "```mermaid", "stateDiagram-v2", "    [*] --> queued", *_draw_edges(), "```", ""]
    lines += ["Triggers that are not listed for a phase change nothing in it.", ""]
    for phase, row in TABLE.items():
        lines += [f"## {phase}", "", "| when | then | leads to |", "|---|---|---|", *_draw_row(row), ""]
    return "\n".join(lines)


def _draw_edges() -> list[str]:
    edges = {(phase, to) for phase, row in TABLE.items() for cell in row.values() for to in cell.leads_to}
    return [f"    {a} --> {b}" for a, b in sorted(edges) if a != b]


def _draw_row(row: Row) -> list[str]:
    shown = [(t, cell) for t, cell in row.items() if cell.step is not steps.then_nothing]
    return [f"| {t.value} | {_name(cell)} | {', '.join(cell.leads_to) or '(stays)'} |" for t, cell in shown]


def _name(cell: Cell) -> str:
    return cell.step.__name__.removeprefix("then_").replace("_", " ")


if __name__ == "__main__":
    print(draw_states())
