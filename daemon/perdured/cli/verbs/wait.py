from __future__ import annotations

import click

from perdured.cli.acting import tell_pending
from perdured.cli.duration import DURATION
from perdured.cli.follow import is_at_rest, wait_for_jobs
from perdured.cli.output import print_json
from perdured.cli.settings import Settings, jobs_argument, json_option, pass_settings, place_options


@click.command("wait")
@jobs_argument
@click.option("--timeout", type=DURATION, metavar="S", help='Give up after so many seconds (or "10min"), with 124.')
@json_option
@place_options
@pass_settings
def command(settings: Settings, jobs: tuple[str, ...], *, timeout: float | None, as_json: bool) -> int:
    """Wait until jobs have come to rest, and exit as the job did.

    Its exit code, 128 + n for signal n, 75 when it was stopped with a checkpoint. Of several jobs: the first status in
    the order given that is not 0.
    """
    client = settings.connect()
    ids = [client.show(job)["id"] for job in jobs]
    ended = wait_for_jobs(client, ids, is_at_rest, timeout)
    if as_json:
        print_json({"schema": 1, "jobs": ended})
    for job in ended:
        tell_pending(job)
    statuses = [job["exit_status"] for job in ended]
    return next((status for status in statuses if status), 0)
