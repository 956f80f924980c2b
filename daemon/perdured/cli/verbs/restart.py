from __future__ import annotations

import click

from perdured.cli.acting import ask_and_tell, has_started_again, wait_option
from perdured.cli.settings import Settings, jobs_argument, json_option, pass_settings, place_options


@click.command("restart")
@jobs_argument
@wait_option
@json_option
@place_options
@pass_settings
def command(settings: Settings, jobs: tuple[str, ...], *, wait: bool, as_json: bool) -> None:
    """Let jobs save, end and start again. One that waits for its next attempt does not wait any longer."""
    ask_and_tell(settings.connect(), jobs, "restart", has_started_again if wait else None, as_json=as_json)
