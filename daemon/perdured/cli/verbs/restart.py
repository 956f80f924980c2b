from __future__ import annotations

import click

from perdured.cli.acting import ask_and_wait, has_started_again, wait_option
from perdured.cli.settings import Settings, jobs_argument, pass_settings, place_options


@click.command("restart")
@jobs_argument
@wait_option
@place_options
@pass_settings
def command(settings: Settings, jobs: tuple[str, ...], *, wait: bool) -> None:
    """Let jobs save, end and start again. One that waits for its next attempt does not wait any longer."""
    ask_and_wait(settings.connect(), jobs, "restart", has_started_again if wait else None)
