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

from . import endings, parking, steps
from .decision import Context, Decision
from .triggers import Trigger as T

Step = Callable[[Context], Decision]


class Cell(NamedTuple):
    step: Step
    leads_to: tuple[str, ...]


Row = dict[T, Cell]

_NOTHING = Cell(steps.then_nothing, ())
_FACTS = (
    T.NOT_YET,
    T.ASIDE,
    T.HELD,
    T.HUNG,
    T.NOT_FINITE,
    T.ABSENT,
    T.DONE,
    T.AGAIN,
    T.AS_ASKED,
    T.PERMANENT,
    T.FAILURE,
    T.STORAGE,
    T.NOT_STARTED,
    T.REFUSED,
    T.LOST,
    T.UNCLEAN,
    T.REBOOTED,
    T.ORPHANED,
    T.UNKNOWN,
    T.FORETOLD,
    T.NOTICED,
    T.STANDS,
    T.LIFTED,
    T.FENCED,
)
"""Facts about an attempt and its turn: in a phase that has none they change nothing."""
_UNATTENDED: Row = dict.fromkeys(_FACTS, _NOTHING)

_LAUNCH = Cell(steps.then_launch, ("starting",))
_STOP = Cell(steps.then_rest, ("stopped",))
_PARK = Cell(steps.then_rest, ("parked",))
_QUEUE = Cell(steps.then_queue, ("queued",))
_STAY = Cell(steps.then_stay, ())
_FORGET = Cell(steps.then_forget, ())
_OF_A_NOTICE = (T.FORETOLD, T.NOTICED, T.STANDS, T.LIFTED)
_ASKED = (T.ASKED_STOP, T.ASKED_PARK, T.ASKED_RESTART, T.ASKED_REMOVE)
_ASK: Row = dict.fromkeys(_ASKED, Cell(steps.then_ask_to_stop, ("saving",)))
_ASK_AGAIN: Row = dict.fromkeys(_ASKED, Cell(steps.then_ask_again_to_stop, ()))
_STEP_ASIDE = Cell(steps.then_step_aside, ("saving",))
_AS_WISHED = ("waiting", "stopped", "parked")
_KEEP_OFF = Cell(parking.then_keep_off, ())
_STAND = Cell(parking.then_stand, ("parked_in_place",))
_NOTICE: Row = {
    T.FORETOLD: Cell(parking.then_heed, ()),
    T.NOTICED: Cell(parking.then_park, ("saving",)),
    T.STANDS: _STAND,
    T.LIFTED: Cell(parking.then_let_go_on, ()),
    T.FENCED: _NOTHING,
}
_LOSS = Cell(endings.then_restart_after_failure, ("failed", *_AS_WISHED))

_ENDS: Row = {
    T.DUE: _NOTHING,
    T.NOT_YET: _NOTHING,
    T.DONE: Cell(endings.then_succeed, ("succeeded",)),
    T.AGAIN: Cell(endings.then_run_again, _AS_WISHED),
    T.AS_ASKED: Cell(endings.then_end_as_asked, _AS_WISHED),
    T.PERMANENT: Cell(endings.then_fail, ("failed",)),
    T.FAILURE: Cell(endings.then_restart_after_failure, ("failed", *_AS_WISHED)),
    T.STORAGE: Cell(endings.then_hold, _AS_WISHED),
    T.NOT_STARTED: Cell(endings.then_fail, ("failed",)),
    T.REFUSED: Cell(endings.then_refuse, ("failed", *_AS_WISHED)),
    T.ABSENT: _LOSS,
    T.LOST: _LOSS,
    T.UNCLEAN: Cell(steps.then_clean, ()),
    T.REBOOTED: Cell(endings.then_restart_after_reboot, _AS_WISHED),
    T.UNKNOWN: Cell(steps.then_hold_still, ()),
}
"""What is the same in every phase that has an attempt."""

TABLE: dict[str, Row] = {
    "queued": _UNATTENDED
    | {
        T.DUE: _LAUNCH,
        T.FENCED: _KEEP_OFF,
        T.ASKED_STOP: _STOP,
        T.ASKED_PARK: _PARK,
        T.ASKED_RESTART: Cell(steps.then_launch_in_turn, ("starting",)),
        T.ASKED_REMOVE: _FORGET,
    },
    "starting": _ENDS
    | _ASK
    | {
        T.ASIDE: _STEP_ASIDE,
        T.FENCED: _NOTHING,
        **dict.fromkeys((T.HELD, T.HUNG, T.NOT_FINITE, *_OF_A_NOTICE), Cell(steps.then_run, ("running",))),
        T.ABSENT: Cell(steps.then_launch_again, ("failed", *_AS_WISHED)),
        T.ORPHANED: Cell(steps.then_watch_orphan, ("running",)),
    },
    "running": _ENDS
    | _ASK
    | _NOTICE
    | {
        T.ASIDE: _STEP_ASIDE,
        T.HELD: Cell(steps.then_watch, ("saving",)),
        T.HUNG: Cell(steps.then_end_the_hang, ("saving",)),
        T.NOT_FINITE: Cell(steps.then_stop_the_training, ("saving",)),
        T.ORPHANED: Cell(steps.then_watch_orphan, ()),
    },
    "saving": _ENDS
    | _ASK_AGAIN
    | _NOTICE
    | {
        T.FORETOLD: _NOTHING,
        T.NOTICED: Cell(parking.then_park, ()),
        T.LIFTED: Cell(parking.then_let_go_on, ("running",)),
        **dict.fromkeys((T.HELD, T.HUNG, T.NOT_FINITE, T.ASIDE), Cell(steps.then_watch, ("running",))),
        T.ORPHANED: Cell(steps.then_watch_orphan, ()),
    },
    "parked_in_place": _ENDS
    | _ASK
    | _NOTICE
    | {
        **dict.fromkeys((T.HELD, T.HUNG, T.NOT_FINITE, T.ASIDE), Cell(parking.then_run_on, ("running",))),
        T.FORETOLD: _NOTHING,
        T.STANDS: Cell(parking.then_stand, ()),
        T.LIFTED: Cell(parking.then_let_go_on, ("running",)),
        T.ORPHANED: Cell(steps.then_watch_orphan, ("running",)),
    },
    "waiting": _UNATTENDED
    | {
        T.DUE: Cell(steps.then_wait_or_launch, ("starting",)),
        T.NOT_YET: Cell(steps.then_wait_or_launch, ("queued",)),
        T.FENCED: _KEEP_OFF,
        T.ASKED_STOP: _STOP,
        T.ASKED_PARK: _PARK,
        T.ASKED_RESTART: Cell(steps.then_launch_in_turn, ("starting", "queued")),
        T.ASKED_REMOVE: _FORGET,
    },
    "parked": _UNATTENDED
    | {
        T.DUE: Cell(parking.then_come_back, ("starting", "queued")),
        T.FENCED: _KEEP_OFF,
        T.ASKED_STOP: _STOP,
        T.ASKED_PARK: Cell(steps.then_stay_parked, ()),
        T.ASKED_RESTART: _QUEUE,
        T.ASKED_REMOVE: _FORGET,
    },
} | {
    rest: _UNATTENDED
    | {
        T.DUE: _NOTHING,
        T.ASKED_STOP: _STAY,
        T.ASKED_PARK: _STAY,
        T.ASKED_RESTART: _QUEUE,
        T.ASKED_REMOVE: _FORGET,
    }
    for rest in ("stopped", "succeeded", "failed")
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
    print(draw_states(), end="")
