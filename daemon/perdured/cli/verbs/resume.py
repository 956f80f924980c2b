from __future__ import annotations

import click

from perdured.cli.acting import ask_and_wait, has_started_again, wait_option
from perdured.cli.settings import Settings, jobs_argument, pass_settings, place_options


@click.command("resume")
@jobs_argument
@wait_option
@place_options
@pass_settings
def command(settings: Settings, jobs: tuple[str, ...], *, wait: bool) -> None:
    """Let stopped, parked or failed jobs go on from their newest valid checkpoint."""
    ask_and_wait(settings.connect(), jobs, "resume", has_started_again if wait else None)
