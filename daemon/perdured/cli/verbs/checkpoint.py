from __future__ import annotations

import click

from perdured.cli.acting import ask_and_tell, has_saved, wait_option
from perdured.cli.duration import DURATION
from perdured.cli.saving import save_before
from perdured.cli.settings import Settings, jobs_argument, json_option, pass_settings, place_options


@click.command("checkpoint")
@jobs_argument
@click.option("--before", type=DURATION, metavar="T", help='Durable within so long, such as "30s", or not at all.')
@wait_option
@json_option
@place_options
@pass_settings
def command(settings: Settings, jobs: tuple[str, ...], *, before: float | None, wait: bool, as_json: bool) -> None:
    """Let jobs save a checkpoint at their next safe point, and go on.

    With --before it is told what will be done in that time, from what saving has taken so far. A save that cannot be
    done by then is not begun (1), one that is late is not committed (124); the checkpoint before stays as it is.
    """
    if before is not None:
        save_before(settings.connect(), jobs, before, is_waiting=wait, as_json=as_json)
    else:
        ask_and_tell(settings.connect(), jobs, "save", has_saved if wait else None, as_json=as_json)
