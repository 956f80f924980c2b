from __future__ import annotations

from collections.abc import Sequence

import click

from perdured.cli.asked_job import SpecOrCommand, job_options, read_asked_job, without_lines
from perdured.cli.output import print_json, say
from perdured.cli.queue_options import queue_options
from perdured.cli.settings import Settings, json_option, pass_settings, place_options
from perdured.errors import BadUsage
from perdured.wire import Submitted


@click.command("submit", cls=SpecOrCommand)
@job_options
@queue_options
@click.option("--array", metavar="N", help='As so many jobs, with {index} in the command: "10" (0 to 9), or "1-10".')
@json_option
@place_options
@pass_settings
@click.pass_context
def command(
    context: click.Context, settings: Settings, /, *, array: str | None, as_json: bool, **asked: object
) -> None:
    """Hand a job to the daemon. It is safe on the disk when its id is printed.

    SPEC is a TOML file; relative paths in it start at its own folder, so `workdir = "."` is where the spec lies. With
    `-- CMD …` the options say the rest, and the job runs here. The job gets the environment of this shell as it is now.
    """
    job = read_asked_job(context, asked)
    try:
        if array is None:
            views = [settings.connect().submit(job.spec, job.workdir, job.env)]
        else:
            views = settings.connect().submit_array(job.spec, job.workdir, job.env, array)
    except BadUsage as error:
        raise error if asked["spec"] else without_lines(error) from None
    if as_json:
        print_json(views[0] if array is None else {"schema": 1, "jobs": views})
    else:
        click.echo("\n".join(view["id"] for view in views))
    _tell(views)


def _tell(views: Sequence[Submitted]) -> None:
    first = views[0]
    for note in first["notes"]:
        say(f"perdure: without effect: {note}")
    follow = f"perdure logs -f {first['id']}"
    if len(views) == 1:
        say(f"perdure: {first['name']} is {first['state']}; follow it with: {follow}")
    else:
        say(f"perdure: {len(views)} jobs, {first['name']} to {views[-1]['name']}; follow the first with: {follow}")
