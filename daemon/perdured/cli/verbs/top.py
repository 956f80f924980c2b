from __future__ import annotations

import shutil
import sys
import time

import click

from perdured.cli.settings import Settings, json_option, pass_settings, place_options
from perdured.cli.top_page import format_top
from perdured.client import Client
from perdured.errors import NoDaemon

from . import ps

EVERY = 1.0
"""Seconds between two looks."""
_ENTER, _LEAVE = "\033[?1049h\033[?25l", "\033[?25h\033[?1049l"
"""The terminal's other screen, without a cursor; and back to what was there before."""
_HOME, _REST_OF_LINE, _REST = "\033[H", "\033[K", "\033[J"


@click.command("top")
@click.option("-a", "--all", "everything", is_flag=True, help="Also jobs that succeeded.")
@json_option
@place_options
@pass_settings
@click.pass_context
def command(context: click.Context, settings: Settings, *, everything: bool = False, as_json: bool = False) -> None:
    """List the jobs, drawn anew every second, until Ctrl-C. Not on a terminal: once, as `perdure ps`."""
    if as_json or not sys.stdout.isatty():
        context.invoke(ps.command, everything=everything, as_json=as_json)
        return
    client = settings.connect()
    client.list_jobs()  # where no daemon is, that is said before the screen is taken
    click.echo(_ENTER, nl=False)
    try:
        while True:
            _draw(_look(client, everything=everything))
            time.sleep(EVERY)
    except KeyboardInterrupt:
        pass
    finally:
        click.echo(_LEAVE, nl=False)


def _look(client: Client, *, everything: bool) -> list[str]:
    width, height = shutil.get_terminal_size()
    try:
        jobs = client.list_jobs(everything=everything)
    except NoDaemon as error:
        return [error.what, "It may come back; jobs run on without it."]
    return format_top(jobs, time.time(), width, height - 1)


def _draw(lines: list[str]) -> None:
    """Over what is there, so that nothing flickers."""
    click.echo(_HOME + "".join(f"{line}{_REST_OF_LINE}\n" for line in lines) + _REST, nl=False)
