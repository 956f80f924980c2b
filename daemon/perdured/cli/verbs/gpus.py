from __future__ import annotations

import time

import click

from perdured.cli.output import print_json, print_lines, say
from perdured.cli.settings import Settings, json_option, pass_settings, place_options, terminal_width
from perdured.cli.text import Cell, clean, format_age, format_table, header, parse_time
from perdured.core.units import human_size
from perdured.errors import BadUsage
from perdured.wire import Gpu

_COLOURS = {"free": None, "used": "green", "quarantined": "red", "gone": "yellow", "shared": None}


@click.command("gpus")
@click.argument("action", required=False, type=click.Choice(["clear"]))
@click.argument("gpus", nargs=-1, metavar="GPU…")
@json_option
@place_options
@pass_settings
def command(settings: Settings, action: str | None, gpus: tuple[str, ...], *, as_json: bool) -> None:
    """List the GPUs that jobs are given, and who has them; or clear some from quarantine.

    A GPU that has failed a job is given to nobody until it is cleared. GPU is a UUID, or the beginning of one.
    """
    client = settings.connect()
    if action is not None and not gpus:
        raise BadUsage(
            "Which GPU is to be cleared?", "None was named.", "perdure gpus clear GPU; `perdure gpus` lists them."
        )
    shown = [client.clear_gpu(gpu) for gpu in gpus] if action is not None else client.list_gpus()
    if as_json:
        print_json({"schema": 1, "gpus": shown})
    elif shown:
        rows = [header("GPU", "NAME", "MEMORY", "STATE", "JOB", "WHY"), *(_row(gpu, time.time()) for gpu in shown)]
        print_lines(format_table(rows, terminal_width()))
    else:
        say("The daemon knows of no GPUs.\nIt asks the driver through nvidia-ml-py: pip install 'perdure[gpu]'")


def _row(gpu: Gpu, now: float) -> list[Cell]:
    since = f" ({format_age(parse_time(gpu['since']), now)})" if gpu["since"] is not None else ""
    return [
        Cell(clean(gpu["uuid"])),
        Cell(clean(gpu["name"] or "-")),
        Cell(human_size(gpu["memory"]) if gpu["memory"] is not None else "-"),
        Cell(gpu["state"], _COLOURS.get(gpu["state"])),
        Cell(gpu["job"] or "-"),
        Cell(f"{clean(gpu['why'])}{since}" if gpu["why"] is not None else ""),
    ]
