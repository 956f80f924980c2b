"""The options of `submit` that are about the queue. `run` has none: there is one job, and nobody to wait for."""

from __future__ import annotations

from datetime import datetime

import click

from .moment import parse_moment
from .settings import AnyFunction


def _read_moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    return None if value is None else parse_moment(value, datetime.now().astimezone()).isoformat()


_OPTIONS = (
    click.option("--priority", type=int, metavar="N", help="Of the jobs that wait the highest goes first [0]."),
    click.option("--cpus", "resources__cpus", type=int, metavar="N", help="Start when so many CPUs are free [0]."),
    click.option("--memory", "resources__memory", metavar="SIZE", help='Start when so much is free, such as "16GiB".'),
    click.option("--gpus", "resources__gpus", type=int, metavar="N", help="Start when so many GPUs are free [0]."),
    click.option("--after", multiple=True, metavar="JOB", help="Start when that one has succeeded."),
    click.option("--group", metavar="NAME", help="Jobs that are limited, paused and resumed together."),
    click.option("--parallel", type=int, metavar="N", help="So many jobs of its group at once."),
    click.option("--at", callback=_read_moment, metavar="TIME", help='Not before: "22:00", "2026-11-25 22:00", "+2h".'),
)


def queue_options(function: AnyFunction) -> AnyFunction:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
