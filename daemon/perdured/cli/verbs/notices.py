from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from perdured.cli import announcing
from perdured.cli.duration import DURATION
from perdured.cli.output import print_json, print_lines
from perdured.cli.settings import Settings, json_option, pass_settings, place_options
from perdured.cli.text import Cell, clean, format_age, format_table, header, parse_time
from perdured.core.units import human_duration
from perdured.wire import Notice, Notices, NoticeSource

_COLOURS = {"works": "green", "blind": "bright_red", "starting": "yellow"}
_WORDS = {"not_here": "not here"}


@click.command("notices")
@click.option("--announce", type=DURATION, metavar="T", help="All this ends within T: leave a notice of it.")
@click.option("--why", metavar="TEXT", help="With --announce: what ends it.")
@click.option("--withdraw", metavar="NAME", help="Take back a notice that --announce left.")
@click.option(
    "--folder", type=click.Path(path_type=Path), metavar="DIR", help="Of notices (or PERDURE_NOTICES_FOLDER)."
)
@click.option("--approve", metavar="NOTICE", help="Let Azure begin with an event now, for every machine that it names.")
@json_option
@place_options
@pass_settings
def command(settings: Settings, /, *, as_json: bool, approve: str | None, **file: Any) -> None:
    """Show who may warn that this machine or job will be taken away, and what they say.

    A source works, is blind (then it says why, and no warning would be heard from it), or is not here. A file in the
    folder of notices is a notice, and removing it withdraws the notice: --announce and --withdraw do just that, with or
    without a daemon.
    """
    if file["announce"] is not None or file["withdraw"] is not None:
        _write(settings, **file)
        return
    told = settings.connect().approve_notice(approve) if approve is not None else settings.connect().show_notices()
    if as_json:
        print_json(told)
    else:
        print_lines(format_notices(told, time.time()))


def _write(
    settings: Settings, announce: float | None, withdraw: str | None, why: str | None, folder: Path | None
) -> None:
    place = announcing.find_folder(folder, settings.state_dir)
    if withdraw is not None:
        announcing.withdraw(place, withdraw)
    if announce is not None:
        print_lines([announcing.announce(place, announce, why)])


def format_notices(told: Notices, now: float) -> list[str]:
    sources = [header("SOURCE", "STATE", "")] + [_describe_source(source) for source in told["sources"]]
    lines = [clean(told["outlook"]), "", *format_table(sources)]
    if told["notices"]:
        rows = [header("NOTICE", "KIND", "DEADLINE", "SURE", "THEN", "RECEIVED", "")]
        lines += ["", *format_table(rows + [_describe(notice, now) for notice in reversed(told["notices"])])]
    return lines


def _describe_source(source: NoticeSource) -> Sequence[Cell]:
    state = source["state"]
    return [Cell(source["source"]), Cell(_WORDS.get(state, state), _COLOURS.get(state)), Cell(clean(source["why"]))]


def _describe(notice: Notice, now: float) -> Sequence[Cell]:
    return [
        Cell(notice["id"]),
        Cell(notice["kind"]),
        Cell(_format_deadline(notice, now), None if not notice["stands"] else "bright_red"),
        Cell(notice["sureness"].replace("_", " ")),
        Cell(notice["follows"].replace("_", " ")),
        Cell(format_age(parse_time(notice["received_at"]), now)),
        Cell(clean(notice["why"])),
    ]


def _format_deadline(notice: Notice, now: float) -> str:
    if notice["withdrawn_at"] is not None:
        return "withdrawn"
    if not notice["stands"]:
        return "over"
    if notice["deadline"] is None:
        return "none"
    left = parse_time(notice["deadline"]) - now
    return f"in {human_duration(left)}" if left > 0 else "now"
