from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import click

from perdured.cli.asked_job import AskedJob, SpecOrCommand, job_options, read_asked_job, without_lines
from perdured.cli.output import print_bytes
from perdured.cli.run_lines import tell_event
from perdured.cli.settings import Settings, pass_settings, place_options
from perdured.contract.environment import STATE_DIR
from perdured.errors import BadUsage


@click.command("run", cls=SpecOrCommand)
@job_options
@place_options
@pass_settings
@click.pass_context
def command(context: click.Context, settings: Settings, /, **asked: object) -> int:
    """Supervise a job here until it ends, with no daemon; exit as the job did.

    What the job prints goes to standard output, unchanged; Perdure's own lines go to standard error. SIGTERM lets it
    save and ends with 75: run the same again and it goes on. Ctrl-C does that too; a second one ends it at once.
    SPEC and the options are those of `perdure submit`.
    """
    from perdured.processes.first import serve_as_first

    job = read_asked_job(context, asked)
    try:
        return serve_as_first(partial(_run, job, settings))
    except BadUsage as error:
        raise error if asked["spec"] else without_lines(error) from None


def _run(job: AskedJob, settings: Settings) -> int:
    from perdured.foreground import Output, run_job
    from perdured.state.submission import parse_submission

    submission = parse_submission(job.spec, workdir=job.workdir, env=job.env)
    chosen = os.environ.get(STATE_DIR)
    state_dir = settings.state_dir or (Path(chosen) if chosen else None)
    return run_job(submission, Output(write=print_bytes, tell=tell_event), state_dir)
