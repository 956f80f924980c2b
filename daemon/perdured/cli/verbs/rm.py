from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

import click

from perdured.cli.follow import ask_patiently, is_at_rest
from perdured.cli.output import print_json, say
from perdured.cli.settings import Settings, jobs_argument, json_option, pass_settings, place_options
from perdured.client import Client
from perdured.errors import BadUsage, NoSuchJob
from perdured.wire import Job

_LOOK_AGAIN_AFTER = 0.5
_LEFT_ALONE = 1
"""The exit status when the answer was no."""


@click.command("rm")
@jobs_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@json_option
@place_options
@pass_settings
def command(settings: Settings, jobs: tuple[str, ...], *, yes: bool, as_json: bool) -> int:
    """Forget jobs: their history and their output. A running one saves and ends first. Checkpoints stay."""
    client = settings.connect()
    found = {job["id"]: job for job in [client.show(ref) for ref in jobs]}
    if not yes and not _confirm(list(found.values())):
        say("Nothing was forgotten.")
        return _LEFT_ALONE
    for job in found.values():
        client.remove(job["id"])
    for job in found.values():
        _wait_until_gone(client, job["id"])
        if not as_json:
            click.echo(f"{job['name']} {job['id']}: forgotten; its checkpoints stay in {job['checkpoint_dir']}")
    if as_json:
        print_json({"schema": 1, "jobs": list(found.values())})
    return 0


def _confirm(jobs: Sequence[Job]) -> bool:
    if not sys.stdin.isatty():
        todo = f"If you mean it: perdure rm -y {' '.join(job['id'] for job in jobs)}"
        raise BadUsage("Nothing was forgotten.", "It asks first, and there is no terminal to ask on.", todo)
    for job in jobs:
        say(_describe(job))
    return click.confirm(f"Forget {_count(len(jobs))}?", err=True)


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
