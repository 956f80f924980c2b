"""The table at the end, as plain text: what was done, what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from .outcome import Outcome

HEADINGS = ("what was done", "at step", "steps lost", "training went on")
Cells = tuple[str, ...]


def list_rows(outcomes: Sequence[Outcome]) -> list[Cells]:
    return [_describe(outcome) for outcome in outcomes]


def _describe(outcome: Outcome) -> Cells:
    went_on = "never stopped" if outcome.seconds is None else f"after {outcome.seconds:.1f} s"
    if outcome.faults:
        went_on = "; ".join(outcome.faults)
    return outcome.title, str(outcome.at_step), str(outcome.steps_lost), went_on


def format_table(headings: Cells, rows: Sequence[Cells]) -> list[str]:
    """Columns as wide as their widest cell; numbers to the right."""
    table = [headings, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
    rule = tuple("─" * width for width in widths)
    return [_format_row(row, widths) for row in (headings, rule, *rows)]


def _format_row(row: Cells, widths: Sequence[int]) -> str:
    is_number = [column in (1, 2) for column in range(len(row))]
    cells = zip(row, widths, is_number, strict=True)
    return "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in cells).rstrip()
