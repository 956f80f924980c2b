from __future__ import annotations

import click

from perdured.cli.output import print_json, print_lines, say
from perdured.cli.settings import Settings, json_option, pass_settings, place_options, terminal_width
from perdured.cli.text import Cell, clean, format_table, header
from perdured.client import Client
from perdured.errors import BadUsage
from perdured.wire import Group


@click.command("group")
@click.argument("action", required=False, type=click.Choice(["pause", "resume"]))
@click.argument("groups", nargs=-1, metavar="GROUP…")
@json_option
@place_options
@pass_settings
def command(settings: Settings, action: str | None, groups: tuple[str, ...], *, as_json: bool) -> None:
    """List the groups of jobs, or pause and resume them.

    Of a paused group nothing starts; what runs saves, steps aside, and goes on by itself after `perdure group resume`.
    """
    client = settings.connect()
    shown = _ask(client, action, groups) if action is not None else client.list_groups()
    if as_json:
        print_json({"schema": 1, "groups": shown})
    elif shown:
        print_lines(format_table([header("GROUP", "STATE", "RUNNING", "WAITING"), *map(_row, shown)], terminal_width()))
    else:
        say("There are no groups.\nGive a job one: perdure submit --group sweep -- python train.py")


def _ask(client: Client, action: str, groups: tuple[str, ...]) -> list[Group]:
    if not groups:
        todo = f"perdure group {action} GROUP; `perdure group` lists them."
        raise BadUsage(f"Which group is to {action}?", "No group was named.", todo)
    ask = client.pause_group if action == "pause" else client.resume_group
    return [ask(group) for group in groups]


def _row(group: Group) -> list[Cell]:
    state = Cell("paused", "yellow") if group["paused"] else Cell("open")
    return [Cell(clean(group["name"])), state, Cell(str(group["running"])), Cell(str(group["waiting"]))]
