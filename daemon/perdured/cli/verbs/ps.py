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
    client = settings.connect()
    jobs = client.list_jobs(everything=everything)
    if as_json:
        print_json({"schema": 1, "jobs": jobs})
    elif jobs:
        print_lines(format_jobs(jobs, time.time(), terminal_width()))
    elif client.list_jobs(everything=True):
        say("All jobs have succeeded. See them with: perdure ps --all")
    else:
        say("There are no jobs.\nSubmit one: perdure submit -- python train.py\nOr begin with a spec: perdure init")
