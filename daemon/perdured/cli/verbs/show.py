from __future__ import annotations

import time

import click

from perdured.cli.job_page import format_page
from perdured.cli.logs import read_last_lines
from perdured.cli.output import print_json, print_lines
from perdured.cli.settings import Settings, job_argument, json_option, pass_settings, place_options, terminal_width

_TAIL = 5
"""Lines of output on the page."""


@click.command("show")
@job_argument
@json_option
@place_options
@pass_settings
def command(settings: Settings, job: str, *, as_json: bool) -> None:
    """Show one job: its state and why, its attempts, its newest checkpoint, the end of its output."""
    client = settings.connect()
    found = client.show(job)
    if as_json:
        print_json(found)
        return
    tail = read_last_lines(client, found["id"], client.list_logs(found["id"]), _TAIL)
    print_lines(format_page(found, tail, job, time.time(), terminal_width()))
