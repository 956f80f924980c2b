from __future__ import annotations

import click

from perdured.cli.acting import ask_and_tell, has_saved, wait_option
from perdured.cli.settings import Settings, jobs_argument, json_option, pass_settings, place_options


@click.command("checkpoint")
@jobs_argument
@wait_option
@json_option
@place_options
@pass_settings
def command(settings: Settings, jobs: tuple[str, ...], *, wait: bool, as_json: bool) -> None:
    """Let jobs save a checkpoint at their next safe point, and go on."""
    ask_and_tell(settings.connect(), jobs, "save", has_saved if wait else None, as_json=as_json)
