from __future__ import annotations

import click

from perdured.cli.acting import ask_and_tell, has_started_again, wait_option
from perdured.cli.settings import Settings, jobs_argument, json_option, pass_settings, place_options


@click.command("resume")
@jobs_argument
@wait_option
@json_option
@place_options
@pass_settings
def command(settings: Settings, jobs: tuple[str, ...], *, wait: bool, as_json: bool) -> None:
    """Let stopped, parked or failed jobs go on from their newest valid checkpoint."""
    ask_and_tell(settings.connect(), jobs, "resume", has_started_again if wait else None, as_json=as_json)
