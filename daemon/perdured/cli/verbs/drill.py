from __future__ import annotations

import sys

import click

from perdured.cli.duration import DURATION
from perdured.cli.output import print_json, say
from perdured.cli.settings import Settings, job_argument, json_option, pass_settings, place_options
from perdured.cli.text import Cell, clean, paint
from perdured.core.drill import KINDS, PLANS, Kind, count_lost, describe_phases, say_cost
from perdured.drill.play import Outcome, check_ready, play
from perdured.errors import BadUsage
from perdured.wire import Job

_NOT_PASSED = 1


@click.command("drill")
@job_argument
@click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
@click.option("-y", "--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@click.option("--timeout", type=DURATION, default="10min", metavar="T", help="How long to watch at most [10min].")
@json_option
@place_options
@pass_settings
def command(settings: Settings, job: str, kind: Kind, *, yes: bool, timeout: float, as_json: bool) -> int:
    """Rehearse on a running job what will happen to it one day: 0 when it came through, 1 when it did not.

    KIND is preempt, crash, hang, corrupt, disk-full or daemon. It is said what will be done, and asked first. What
    it costs is what the real thing would: the steps since the last save, and the time until it trains again.
    """
    client = settings.connect()
    shown = client.show(job)
    check_ready(shown)
    say(f"{clean(shown['name'])} {shown['id']}: {PLANS[kind]}")
    if not yes and not _confirm(shown, kind):
        say("Nothing was done.")
        return _NOT_PASSED
    outcome = play(client, shown["id"], kind, timeout, say if as_json else click.echo)
    if as_json:
        print_json(describe_outcome(shown, kind, outcome))
    else:
        click.echo("\n".join(format_outcome(kind, outcome)))
    return _NOT_PASSED if outcome.faults else 0


def format_outcome(kind: Kind, outcome: Outcome) -> list[str]:
    word = Cell("not passed", "bright_red") if outcome.faults else Cell("passed", "green")
    told = "; ".join(outcome.faults) or say_cost(kind, outcome.phases, outcome.last)
    return [f"{paint(word)}: {told}", *(f"  {note}" for note in outcome.notes)]


def describe_outcome(job: Job, kind: Kind, outcome: Outcome) -> dict[str, object]:
    return {
        "schema": 1,
        "job": job["id"],
        "kind": kind,
        "passed": not outcome.faults,
        "seconds": describe_phases(kind, outcome.phases),
        "steps_lost": count_lost(kind, outcome.last),
        "faults": list(outcome.faults),
        "notes": list(outcome.notes),
    }


def _confirm(job: Job, kind: Kind) -> bool:
    if not sys.stdin.isatty():
        todo = f"If you mean it: perdure drill {job['id']} {kind} --yes"
        raise BadUsage("Nothing was done.", "It asks first, and there is no terminal to ask on.", todo)
    return click.confirm("Do it now?", err=True)
