from __future__ import annotations

import os
from pathlib import Path

import click

from perdured.cli.output import print_json, print_lines, say
from perdured.cli.settings import Settings, json_option, pass_settings, place_options, terminal_width

_HAS_PROBLEMS = 1


@click.command("doctor")
@click.argument("spec", required=False, type=click.Path(path_type=Path), metavar="[SPEC]")
@json_option
@place_options
@pass_settings
def command(settings: Settings, spec: Path | None, *, as_json: bool) -> int:
    """Tell what this machine gives before it is taken away: 0 when nothing is wrong, 1 when something is.

    Looked at are the sources of notices and how much warning they give, whether the largest save fits into it, the
    disks, and the machine; for the jobs of the daemon, or with SPEC for that job. Run it where the job will run: in
    the container, or in the batch script. It writes a little to the disks and removes it again.
    """
    from perdured.cli.asked_job import read_spec_file
    from perdured.cli.doctor_page import describe_report, format_page
    from perdured.cli.job_python import examine_python
    from perdured.core.doctor.finding import count_level
    from perdured.doctor.examine import Asked, examine
    from perdured.state.paths import default_state_dir
    from perdured.state.submission import parse_submission

    job = read_spec_file(spec) if spec is not None else None
    submission = parse_submission(job.spec, workdir=job.workdir, env=job.env) if job is not None else None
    state_dir = settings.state_dir or default_state_dir()
    if not as_json:
        say("Looking at this machine; a few seconds…")
    report = examine(Asked(settings.socket_path, state_dir, os.environ, submission))
    findings = [*report.findings, *examine_python(submission)]
    if as_json:
        print_json(describe_report(report, findings))
    else:
        print_lines(format_page(findings, terminal_width()))
    return _HAS_PROBLEMS if count_level(findings, "problem") else 0
