"""The table of `perdure ps`. Pure: jobs, the time and the terminal's width in, lines out."""

from __future__ import annotations

from collections.abc import Sequence

from perdured.wire import Job

from .text import (
    DIM,
    GAP,
    STATE_COLOURS,
    Cell,
    clean,
    format_age,
    format_loss,
    format_step,
    format_table,
    header,
    paint,
    parse_time,
    shorten,
    width_of,
)

_LONGEST_NAME = 24
_SHORTEST_NAME = 8
_ALL_COLUMNS = 80
"""A narrower terminal has no room for the goodput."""
_LEAST_WHY = 30
"""Columns. With less room than this the reason gets a line of its own."""


def format_jobs(jobs: Sequence[Job], now: float, width: int | None) -> list[str]:
    """One row a job, fitting into `width` columns; None for output that nobody looks at line by line."""
    rows = [header("ID", "NAME", "STATE", "STEP", "LOSS", "RESTARTS", "SAVED", "GOODPUT")]
    rows += [_describe(job, now) for job in jobs]
    if width is not None and width < _ALL_COLUMNS:
        rows = [row[:-1] for row in rows]
    rows = _fit_names(rows, width)
    reasons = [Cell("WHY", DIM), *(Cell(clean(_say_why(job))) for job in jobs)]
    table = format_table(rows)
    if width is not None and _needs_own_lines(rows, reasons, width):
        return _with_lines_between(table, reasons[1:], width)
    return format_table([[*row, why] for row, why in zip(rows, reasons, strict=True)], width)


def _describe(job: Job, now: float) -> list[Cell]:
    newest = job["checkpoint"]
    return [
        Cell(job["id"]),
        Cell(clean(job["name"])),
        Cell(job["state"], STATE_COLOURS.get(job["state"])),
        Cell(format_step(job["step"], job["total"])),
        Cell(format_loss(job["loss"])),
        Cell(str(job["restarts"])),
        Cell(format_age(parse_time(newest["committed_at"]), now) if newest else "-"),
        Cell("-" if job["goodput"] is None else f"{job['goodput']:.0%}"),
    ]


def _say_why(job: Job) -> str:
    """Before a notice comes, somebody should know that it could not be honoured."""
    return job["no_safe_point"] or job["reason"]


def _fit_names(rows: Sequence[list[Cell]], width: int | None) -> list[list[Cell]]:
    """Names are the only part of a row that may be long, so they give way until the rest fits."""
    if width is None:
        return list(rows)
    others = _width_of_rows([[id, *rest] for id, _name, *rest in rows]) + GAP
    room = min(max(width - others, _SHORTEST_NAME), _LONGEST_NAME)
    return [[id, name._replace(text=shorten(name.text, room)), *rest] for id, name, *rest in rows]


def _width_of_rows(rows: Sequence[Sequence[Cell]]) -> int:
    widths = [max(width_of(cell.text) for cell in column) for column in zip(*rows, strict=True)]
    return sum(widths) + GAP * (len(widths) - 1)


def _needs_own_lines(rows: Sequence[Sequence[Cell]], reasons: Sequence[Cell], width: int) -> bool:
    room = width - _width_of_rows(rows) - GAP
    return room < min(_LEAST_WHY, max(width_of(why.text) for why in reasons))


def _with_lines_between(table: Sequence[str], reasons: Sequence[Cell], width: int) -> list[str]:
    lines = [table[0]]
    for row, why in zip(table[1:], reasons, strict=True):
        lines += [row, paint(Cell("  " + shorten(why.text, width - 2), DIM))]
    return lines
