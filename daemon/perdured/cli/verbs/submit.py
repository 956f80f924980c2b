from __future__ import annotations

import click

from perdured.cli.asked_job import SpecOrCommand, job_options, read_asked_job, without_lines
from perdured.cli.output import print_json, say
from perdured.cli.settings import Settings, json_option, pass_settings, place_options
from perdured.errors import BadUsage


@click.command("submit", cls=SpecOrCommand)
@job_options
@json_option
@place_options
@pass_settings
@click.pass_context
def command(context: click.Context, settings: Settings, /, *, as_json: bool, **asked: object) -> None:
    """Hand a job to the daemon. It is safe on the disk when its id is printed.

    SPEC is a TOML file; relative paths in it start at its own folder, so `workdir = "."` is where the spec lies. With
    `-- CMD …` the options say the rest, and the job runs here. The job gets the environment of this shell as it is now.
    """
    job = read_asked_job(context, asked)
    try:
        view = settings.connect().submit(job.spec, job.workdir, job.env)
    except BadUsage as error:
        raise error if asked["spec"] else without_lines(error) from None
    if as_json:
        print_json(view)
    else:
        click.echo(view["id"])
    for note in view["notes"]:
        say(f"perdure: without effect: {note}")
    say(f"perdure: {view['name']} is {view['state']}; follow it with: perdure logs -f {view['id']}")
