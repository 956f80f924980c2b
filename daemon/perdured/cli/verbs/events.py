from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import click

from perdured.cli.follow import ask_patiently, is_at_rest
from perdured.cli.output import print_json, print_json_line, print_lines
from perdured.cli.settings import Settings, json_option, pass_settings, place_options, terminal_width
from perdured.cli.text import DIM, Cell, clean, format_clock, format_table, parse_time, wrap_rows
from perdured.client import Client
from perdured.wire import Event

_POLL = 30.0
"""Seconds of one long poll."""


@click.command("events")
@click.argument("job", metavar="[JOB]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on as things happen, until the job has come to rest.")
@json_option
@place_options
@pass_settings
def command(settings: Settings, job: str | None, *, follow: bool, as_json: bool) -> None:
    """Tell what happened to a job, or to all of them. With -f and --json: one object a line."""
    client = settings.connect()
    ref = client.show(job)["id"] if job else None
    events, after = client.list_all_events(ref)
    if as_json and not follow:
        print_json({"schema": 1, "events": events})
        return
    names = {each["id"]: each["name"] for each in client.list_jobs(everything=True)}
    _print_events(events, names, as_json=as_json)
    if follow:
        for event in _follow(client, ref, after):
            _print_events([event], names, as_json=as_json)


def _follow(client: Client, ref: str | None, after: int) -> Iterator[Event]:
    while True:
        is_over = ref is not None and is_at_rest(ask_patiently(partial(client.show, ref)))
        page = ask_patiently(partial(client.list_events, after, ref, wait=0.0 if is_over else _POLL))
        yield from page["events"]
        after = page["next"]
        if is_over and not page["events"]:
            return


def _print_events(events: list[Event], names: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        for event in events:
            print_json_line(event)
    elif events:
        rows = [_describe(event, names) for event in events]
        print_lines(format_table(wrap_rows(rows, terminal_width())))


def _describe(event: Event, names: Mapping[str, str]) -> list[Cell]:
    # Padded to the usual width of each, so that events that come one by one stand in columns as well.
    name = names.get(event["job"], event["job"])
    return [
        Cell(format_clock(parse_time(event["at"])), DIM),
        Cell(f"{clean(name):<12}"),
        Cell(f"{event['kind']:<11}"),
        Cell(clean(event["text"])),
    ]
