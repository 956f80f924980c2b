from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click

from perdured.cli.output import print_json, print_lines, say
from perdured.cli.settings import Settings, complete_jobs, json_option, pass_settings, place_options
from perdured.cli.text import Cell, format_age, format_table, header, parse_time
from perdured.core.units import human_size
from perdured.errors import BadUsage, NoDaemon, NoSuchJob
from perdured.wire import Checkpoint

_YES, _NO, _UNKNOWN = Cell("yes", "green"), Cell("no", "bright_red"), Cell("unknown", "yellow")


@click.command("checkpoints")
@click.argument("where", metavar="JOB|DIR", shell_complete=complete_jobs)
@json_option
@place_options
@pass_settings
def command(settings: Settings, where: str, *, as_json: bool) -> None:
    """List the checkpoints of a job, or those in a directory, newest first.

    DIR needs no daemon: it is what has a slash in it, or is there and is no job. VALID says "no" where the commit, the
    manifest and the sizes do not agree, "unverified" where they do and the daemon has not read every byte yet, "yes"
    where it has, and VERIFIED when; `perdure verify PATH` does it now.
    TIERS says where it lies: on the disk, on the remote as it was last seen, or both.
    """
    checkpoints, root = _find(settings, where)
    if as_json:
        print_json({"schema": 1, "checkpoints": checkpoints})
    elif checkpoints:
        print_lines(format_checkpoints(checkpoints, time.time()))
    else:
        say(f"There is no checkpoint in {root} yet.")


def _find(settings: Settings, where: str) -> tuple[list[Checkpoint], str]:
    """The checkpoints, and where they lie."""
    if os.sep in where or where in (os.curdir, os.pardir):
        return _list_directory(where), where
    client = settings.connect()
    try:
        return client.list_checkpoints(where), client.show(where)["checkpoint_dir"]
    except (NoDaemon, NoSuchJob):
        if not Path(where).is_dir():
            raise
        return _list_directory(where), where


def _list_directory(where: str) -> list[Checkpoint]:
    from perdured.supervise.observe import describe_checkpoints

    try:
        os.listdir(where)  # what is not there would be listed as empty
        views = describe_checkpoints(Path(where).absolute())
    except OSError as error:
        todo = "Give a job, or the folder with its checkpoints: `checkpoint.dir` of the spec."
        raise BadUsage(f"{where} cannot be listed.", f"{error.strerror}.", todo) from None
    return [cast(Checkpoint, view.model_dump(mode="json")) for view in views]


def format_checkpoints(checkpoints: Sequence[Checkpoint], now: float) -> list[str]:
    """One row a checkpoint. Never cut to the terminal: half a path is of no use."""
    rows = [header("STEP", "SIZE", "AGE", "VALID", "VERIFIED", "HEALTHY", "TIERS", "PATH")]
    rows += [_describe(each, now) for each in checkpoints]
    return format_table(rows)


def _describe(checkpoint: Checkpoint, now: float) -> list[Cell]:
    verified_at = checkpoint["verified_at"]
    return [
        Cell(str(checkpoint["step"])),
        Cell(human_size(checkpoint["bytes"])),
        Cell(format_age(parse_time(checkpoint["committed_at"]), now)),
        _say_valid(checkpoint),
        Cell(format_age(parse_time(verified_at), now) if verified_at is not None else "-"),
        {True: _YES, False: _NO, None: _UNKNOWN}[checkpoint["healthy"]],
        Cell(", ".join(checkpoint["tiers"])),
        Cell(checkpoint["path"]),
    ]


def _say_valid(checkpoint: Checkpoint) -> Cell:
    """A flipped bit is seen only where every byte is read."""
    if not checkpoint["valid"]:
        return _NO if checkpoint["valid"] is False else _UNKNOWN
    return _YES if checkpoint["verified_at"] is not None else Cell("unverified")
