from __future__ import annotations

import time

import click

from perdured.cli.job_table import format_jobs
from perdured.cli.output import print_json, print_lines, say
from perdured.cli.settings import Settings, json_option, pass_settings, place_options, terminal_width


@click.command("ps")
@click.option("-a", "--all", "everything", is_flag=True, help="Also jobs that succeeded.")
@json_option
@place_options
@pass_settings
def command(settings: Settings, *, everything: bool = False, as_json: bool = False) -> None:
    """List the jobs: what each is doing, how far it is, and why."""
    jobs = settings.connect().list_jobs(everything=everything)
    if as_json:
        print_json({"schema": 1, "jobs": jobs})
    elif jobs:
        print_lines(format_jobs(jobs, time.time(), terminal_width()))
    else:
        which = (
            "There are no jobs." if everything else "There are no jobs but those that succeeded (`perdure ps --all`)."
        )
        say(f"{which}\nSubmit one: perdure submit -- python train.py\nOr write a spec to start from: perdure init")
