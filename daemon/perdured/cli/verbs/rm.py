from __future__ import annotations

import sys
from functools import partial

import click

from perdured.cli.follow import ask_patiently, is_at_rest
from perdured.cli.output import say
from perdured.cli.settings import Settings, jobs_argument, pass_settings, place_options
from perdured.client import Client
from perdured.errors import NoSuchJob
from perdured.wire import Job

_LOOK_AGAIN_AFTER = 0.5


@click.command("rm")
@jobs_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@place_options
@pass_settings
def command(settings: Settings, jobs: tuple[str, ...], *, yes: bool) -> None:
    """Forget jobs: their history and their output. A running one saves and ends first. Checkpoints stay."""
    client = settings.connect()
    found = {job["id"]: job for job in [client.show(ref) for ref in jobs]}
    if not yes and sys.stdin.isatty():
        for job in found.values():
            say(_describe(job))
        click.confirm(f"Forget {_count(len(found))}?", abort=True, err=True)
    for job in found.values():
        client.remove(job["id"])
    for job in found.values():
        _wait_until_gone(client, job["id"])
        click.echo(f"{job['name']} {job['id']}: forgotten; its checkpoints stay in {job['checkpoint_dir']}")


def _count(number: int) -> str:
    return "this job" if number == 1 else f"these {number} jobs"


def _describe(job: Job) -> str:
    first = "" if is_at_rest(job) else " (it saves and ends first)"
    return f"{job['name']} {job['id']}: {job['state']}{first}; checkpoints in {job['checkpoint_dir']} stay"


def _wait_until_gone(client: Client, job: str) -> None:
    after = 0
    while True:
        try:
            ask_patiently(partial(client.show, job))
            after = ask_patiently(partial(client.list_events, after, wait=_LOOK_AGAIN_AFTER))["next"]
        except NoSuchJob:
            return
