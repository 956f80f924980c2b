"""How things look to a person: times, sizes, columns. Pure; colours are ANSI codes, which `click.echo` takes out again
where the output is no terminal.

Rich would do the columns as well, for 35 ms of the 150 that `perdure ps` may take; what is needed of it is below.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import NamedTuple

import click

GAP = 2
"""Spaces between columns."""
_LEAST_ROOM = 20
"""Columns. A text is not broken into lines that are shorter."""

STATE_COLOURS = {
    "running": "green",
    "saving": "cyan",
    "starting": "cyan",
    "waiting": "yellow",
    "queued": "yellow",
    "parked": "magenta",
    "stopped": "bright_black",
    "succeeded": "bright_green",
    "failed": "bright_red",
}
DIM = "bright_black"


class Cell(NamedTuple):
    text: str
    colour: str | None = None


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; Python 3.10 does not take the Z for UTC."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def format_clock(at: float) -> str:
    """The local time of day, with the date before it when that is not today's to guess: "11-24 18:51:02"."""
    return datetime.fromtimestamp(at, timezone.utc).astimezone().strftime("%m-%d %H:%M:%S")


def format_date(at: float) -> str:
    """The local time with its zone: "2026-11-24 18:51:02 +0100"."""
    return datetime.fromtimestamp(at, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def format_age(at: float, now: float) -> str:
    """ "just now", "40s ago", "3m ago", "5h ago", "12d ago": rounded down, for columns."""
    seconds = int(now - at)
    if seconds < 2:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit} ago"
    return f"{seconds}s ago"


def format_step(step: int | None, total: int | None) -> str:
    if step is None:
        return "-"
    return f"{step}/{total}" if total else str(step)


def format_loss(loss: float | None) -> str:
    return "-" if loss is None else f"{loss:.4g}"


def format_bar(done: int, total: int, width: int = 20) -> str:
    """A progress bar in block characters with the share in per cent."""
    share = min(max(done / total, 0.0), 1.0)
    full = int(share * width)
    return f"{'█' * full}{'░' * (width - full)} {share:.0%}"


def clean(text: str) -> str:
    """On one line and without control characters: what a job printed must not steer the terminal."""
    spaced = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in spaced)


def width_of(text: str) -> int:
    """Columns that a terminal takes for it: wide East Asian characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, width: int) -> str:
    """`text`, cut to at most `width` columns with an ellipsis at the end."""
    if width_of(text) <= width:
        return text
    while text and width_of(text) > width - 1:
        text = text[:-1]
    return text.rstrip() + "…" if width > 0 else ""


def wrap(text: str, width: int | None) -> list[str]:
    """The lines of `text`, each broken between words where it exceeds `width`; an indented line stays indented."""
    lines = text.splitlines()
    if width is None:
        return lines
    return [part for line in lines for part in _wrap_line(line, width)]


def _wrap_line(line: str, width: int) -> list[str]:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [
        line
    ]


def paint(cell: Cell) -> str:
    return click.style(cell.text, fg=cell.colour) if cell.colour else cell.text


def format_table(rows: Sequence[Sequence[Cell]], width: int | None = None) -> list[str]:
    """Lines with the cells in columns. Only the last column is cut when a line would exceed `width`."""
    widths = [max(width_of(cell.text) for cell in column) for column in zip(*rows, strict=True)]
    room = None if width is None else max(width - sum(widths[:-1]) - GAP * (len(widths) - 1), 1)
    return [_format_row(row, widths, room) for row in rows]


def wrap_rows(rows: Sequence[Sequence[Cell]], width: int | None) -> list[list[Cell]]:
    """The rows with the last column broken between words into as many rows as fit `width` columns."""
    if width is None:
        return [list(row) for row in rows]
    firsts = [max(width_of(cell.text) for cell in column) for column in zip(*(row[:-1] for row in rows), strict=True)]
    room = max(width - sum(firsts) - GAP * len(firsts), _LEAST_ROOM)
    return [part for row in rows for part in _wrap_row(row, room)]


def _wrap_row(row: Sequence[Cell], room: int) -> list[list[Cell]]:
    *cells, last = row
    first, *more = [last._replace(text=part) for part in wrap(last.text, room) or [""]]
    return [[*cells, first], *([*(Cell("") for _ in cells), part] for part in more)]


def _format_row(row: Sequence[Cell], widths: Sequence[int], room: int | None) -> str:
    *cells, last = row
    padded = [paint(cell) + " " * (width - width_of(cell.text)) for cell, width in zip(cells, widths, strict=False)]
    shown = last if room is None else last._replace(text=shorten(last.text, room))
    return (" " * GAP).join([*padded, paint(shown)]).rstrip()


def header(*titles: str) -> list[Cell]:
    return [Cell(title, DIM) for title in titles]
