"""What `perdure run` says beside the job's own output: one line for each thing that happened."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .output import say
from .text import Cell, clean, paint

if TYPE_CHECKING:
    from perdured.core.events import Event
    from perdured.views import JobView

_COLOURS = {"failed": "bright_red", "quarantined": "bright_red", "waiting": "yellow", "succeeded": "green"}

_UNSAID = ("submitted", "starting", "asked")
"""What the next line says better."""


def tell_event(event: Event, job: JobView) -> None:
    if event.kind not in _UNSAID:
        sys.stdout.flush()
        say(paint(Cell(f"perdure: {format_event(event, job)}", _COLOURS.get(event.kind, "bright_black"))))


def format_event(event: Event, job: JobView) -> str:
    """The event's own words; of a start also what it starts from."""
    if event.kind != "started" or not job.attempts:
        return clean(event.text)
    attempt = job.attempts[-1]
    step = attempt.resumed_from_step
    origin = "" if step is None else f" from step {step}"
    return f"attempt {attempt.number} started{origin}"
