from __future__ import annotations

import click

from perdured.cli.acting import ask_and_tell, wait_option
from perdured.cli.follow import is_at_rest
from perdured.cli.settings import Settings, jobs_argument, json_option, pass_settings, place_options


@click.command("stop")
@jobs_argument
@wait_option
@json_option
@place_options
@pass_settings
def command(settings: Settings, jobs: tuple[str, ...], *, wait: bool, as_json: bool) -> None:
    """Let jobs save and end. They stay stopped until `perdure resume`.

    Whoever interrupts this does not interrupt the stop.
    """
    ask_and_tell(
        settings.connect(), jobs, "stop", (lambda _before, now: is_at_rest(now)) if wait else None, as_json=as_json
    )
