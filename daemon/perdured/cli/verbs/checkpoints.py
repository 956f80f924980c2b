from __future__ import annotations

import time
from collections.abc import Sequence

import click

from perdured.cli.output import print_json, print_lines, say
from perdured.cli.settings import Settings, job_argument, json_option, pass_settings, place_options
from perdured.cli.text import Cell, format_age, format_table, header, parse_time
from perdured.core.units import human_size
from perdured.wire import Checkpoint

_VALID = {True: Cell("yes", "green"), False: Cell("no", "bright_red"), None: Cell("unknown", "yellow")}


@click.command("checkpoints")
@job_argument
@json_option
@place_options
@pass_settings
def command(settings: Settings, job: str, *, as_json: bool) -> None:
    """List a job's checkpoints, newest first.

    VALID says that the commit, the manifest and the sizes agree; `perdure verify PATH` reads every byte.
    """
    client = settings.connect()
    checkpoints = client.list_checkpoints(job)
    if as_json:
        print_json({"schema": 1, "checkpoints": checkpoints})
    elif checkpoints:
        print_lines(format_checkpoints(checkpoints, time.time()))
    else:
        say(f"Job {job} has no checkpoint in {client.show(job)['checkpoint_dir']} yet.")


def format_checkpoints(checkpoints: Sequence[Checkpoint], now: float) -> list[str]:
    """One row a checkpoint. Never cut to the terminal: half a path is of no use."""
    rows = [header("STEP", "SIZE", "AGE", "VALID", "HEALTHY", "PATH")]
    rows += [_describe(each, now) for each in checkpoints]
    return format_table(rows)


def _describe(checkpoint: Checkpoint, now: float) -> list[Cell]:
    return [
        Cell(str(checkpoint["step"])),
        Cell(human_size(checkpoint["bytes"])),
        Cell(format_age(parse_time(checkpoint["committed_at"]), now)),
        _VALID[checkpoint["valid"]],
        _VALID[checkpoint["healthy"]],
        Cell(checkpoint["path"]),
    ]
