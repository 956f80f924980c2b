from __future__ import annotations

import click

from perdured.cli.output import print_json, print_lines, say
from perdured.cli.settings import Settings, json_option, pass_settings, place_options, terminal_width
from perdured.cli.text import Cell, clean, format_table, header
from perdured.wire import FleetJob

_COLOURS = {"held": "green", "claimed": "yellow", "free": "yellow"}


@click.command("fleet")
@json_option
@place_options
@pass_settings
def command(settings: Settings, *, as_json: bool) -> None:
    """Show the jobs of all hosts that have joined one bucket, and which host has each.

    A host joins with `perdured --join URL`. LEASE is the state of the newest one: held, free (given back: the next host
    may take the job), over (the job has ended), claimed (it is being taken over). WHY says what keeps a job off this
    host.
    """
    fleet = settings.connect().show_fleet()
    if as_json:
        print_json(fleet)
        return
    print_lines([f"{clean(fleet['host'])} has joined {clean(fleet['url'])}"])
    if fleet["trouble"] is not None:
        say(clean(fleet["trouble"]))
    rows = [header("JOB", "NAME", "HOST", "TOKEN", "LEASE", "WHY"), *map(_row, fleet["jobs"])]
    print_lines(["", *format_table(rows, terminal_width())] if fleet["jobs"] else ["There are no jobs in it."])


def _row(job: FleetJob) -> list[Cell]:
    lease = job["lease"]
    return [
        Cell(job["id"]),
        Cell(clean(job["name"])),
        Cell(clean(lease["host"] or "-")),
        Cell(str(lease["token"] or "-")),
        Cell(job["state"], _COLOURS.get(job["state"])),
        Cell(clean(job["lacks"] or lease["why"])),
    ]
