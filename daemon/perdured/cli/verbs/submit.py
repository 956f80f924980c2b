from __future__ import annotations

import click

from perdured.cli.asked_job import SpecOrCommand, job_options, read_asked_job, without_lines
from perdured.cli.output import say
from perdured.cli.settings import Settings, pass_settings, place_options
from perdured.errors import BadUsage


@click.command("submit", cls=SpecOrCommand)
@job_options
@place_options
@pass_settings
@click.pass_context
def command(context: click.Context, settings: Settings, /, **asked: object) -> None:
    """Hand a job to the daemon. It is safe on the disk when its id is printed.

    SPEC is a TOML file; relative paths in it start at its own folder, so `workdir = "."` is where the spec lies. With
    `-- CMD …` the options say the rest, and the job runs here. The job gets the environment of this shell as it is now.
    """
    job = read_asked_job(context, asked)
    try:
        view = settings.connect().submit(job.spec, job.workdir, job.env)
    except BadUsage as error:
        raise error if asked["spec"] else without_lines(error) from None
    click.echo(view["id"])
    say(f"perdure: {view['name']} is {view['state']}; follow it with: perdure logs -f {view['id']}")
