"""What is shown: lines that stay, each with its time, and below them two bars that move.

Where standard output is no terminal, the same lines, and the bars now and then as a line of text.
"""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

Tone = Literal["done", "told", "well", "plain"]
"""Done to the job; told by the daemon; went well; anything else."""

_SIGNS: dict[Tone, str] = {"done": "✗ ", "told": "  ", "well": "✓ ", "plain": ""}
_STYLES: dict[Tone, str] = {"done": "bold red", "told": "dim", "well": "green", "plain": ""}
_INDENT = 12
_BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN_EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal."""


class Bar(NamedTuple):
    name: str
    step: int
    total: int
    losses: Sequence[float]
    note: str


class Display(Protocol):
    def say(self, text: str, tone: Tone = "plain") -> None: ...
    def update(self, bars: Sequence[Bar]) -> None: ...
    def close(self) -> None: ...


def open_display() -> Display:
    if sys.stdout.isatty():
        return LiveDisplay()
    return PlainDisplay()


class PlainDisplay:
    def __init__(self) -> None:
        self._began = time.monotonic()
        self._told_at = self._began

    def say(self, text: str, tone: Tone = "plain") -> None:
        click.echo(format_line(time.monotonic() - self._began, text, tone))

    def update(self, bars: Sequence[Bar]) -> None:
        now = time.monotonic()
        if now - self._told_at >= PLAIN_EVERY:
            self._told_at = now
            self.say("; ".join(map(describe_bar, bars)))

    def close(self) -> None:
        pass


class LiveDisplay:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._began = time.monotonic()
        self._console: Console = Console(highlight=False)
        self._live: Live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def say(self, text: str, tone: Tone = "plain") -> None:
        line = format_line(time.monotonic() - self._began, text, tone)
        for part in textwrap.wrap(line, self._console.width, subsequent_indent=" " * _INDENT):
            self._console.print(part, style=_STYLES[tone], markup=False)

    def update(self, bars: Sequence[Bar]) -> None:
        self._live.update(_draw(bars, self._console.width), refresh=True)

    def close(self) -> None:
        self._live.stop()


def format_line(seconds: float, text: str, tone: Tone) -> str:
    return f"{seconds:6.1f} s  {_SIGNS[tone]}{text}"


def describe_bar(bar: Bar) -> str:
    where = f"step {bar.step}/{bar.total}" if bar.total else "starting"
    loss = f", loss {bar.losses[-1]:.2f}" if bar.losses else ""
    return f"{bar.name}: {where}{loss} ({bar.note})"


def format_sparkline(values: Sequence[float], width: int) -> str:
    """The values as `width` blocks at most, each the mean of its share, the lowest the smallest block."""
    if not values:
        return ""
    count = min(width, len(values))
    edges = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, span = min(means), max(means) - min(means) or 1.0
    return "".join(_BLOCKS[round((mean - low) / span * (len(_BLOCKS) - 1))] for mean in means)


def _draw(bars: Sequence[Bar], width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    room = max(10, min(60, width - 52))
    grid = Table.grid(padding=(0, 1))
    for bar in bars:
        progress = ProgressBar(bar.total or 1, bar.step, room, complete_style="cyan", finished_style="green")
        numbers = f"{bar.step:>{len(str(bar.total))}}/{bar.total}" if bar.total else ""
        loss = f"loss {bar.losses[-1]:.2f}" if bar.losses else ""
        grid.add_row(bar.name, progress, numbers, loss, bar.note)
        grid.add_row("", f"[dim]{format_sparkline(bar.losses, room)}[/]")
    return grid
