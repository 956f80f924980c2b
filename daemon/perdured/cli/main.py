"""The `perdure` command: finds the verb, runs it, and turns failures into three lines and an exit status."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from perdured import __version__
from perdured.contract import exits
from perdured.errors import PerdureError

from .output import colour_choice
from .settings import Settings, place_options
from .text import wrap

SECTIONS: dict[str, dict[str, str]] = {
    "Start": {
        "run": "Supervise a job in the foreground until it ends; needs no daemon.",
        "submit": "Hand a job to the daemon.",
        "init": "Write a spec to start from.",
        "demo": "Train a real model, break everything, lose nothing.",
    },
    "Look": {
        "ps": "List the jobs (also without any verb).",
        "top": "The same, drawn anew every second.",
        "show": "Show one job: state, reason, attempts, checkpoint.",
        "logs": "Print a job's output, over all its restarts.",
        "events": "Tell what happened to a job, or to all.",
        "notices": "Show who may warn of the end of this machine, and the warnings.",
        "fleet": "Show the jobs of all hosts that share a bucket.",
        "wait": "Wait until jobs end; exit as the job did.",
    },
    "Act": {
        "stop": "Save and end a job.",
        "resume": "Let a stopped, parked or failed job go on.",
        "restart": "Save, end and start a job again.",
        "checkpoint": "Save a checkpoint now and go on.",
        "rm": "Forget a job; its checkpoints stay.",
        "gpus": "List the GPUs, and who has them; clear one from quarantine.",
        "group": "List groups of jobs; pause and resume them.",
    },
    "Checkpoints": {
        "checkpoints": "List a job's checkpoints, or those in a directory.",
        "verify": "Check every byte of a checkpoint.",
        "export": "Write a checkpoint as a plain file, or a spec for Slurm …",
    },
    "More": {
        "drill": "Rehearse a crash, a hang, a preemption … on a job.",
        "doctor": "Tell what this machine gives before it is taken away.",
        "service": "Have the daemon started by systemd: install, uninstall, status.",
        "completion": "Print the completion script for a shell.",
    },
}
VERBS = {verb: summary for section in SECTIONS.values() for verb, summary in section.items()}


class ReaderGone(Exception):
    """Whoever read our output has ended, as in `perdure logs JOB | head`."""


class _Verbs(click.Group):
    """Imports a verb's module when it is called, and none for the list of verbs."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # Click would take it for a plain failure and end with 1.
            raise ReaderGone from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in VERBS:
            return None
        command = import_module(f".verbs.{cmd_name}", __package__).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        for section, verbs in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl(list(verbs.items()), col_max=12)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(_explain_unknown(args[0]), ctx)
        return super().resolve_command(ctx, args)


def _explain_unknown(verb: str) -> str:
    from .nearest import did_you_mean

    return f"There is no verb {verb!r}.{did_you_mean(verb, VERBS)}"


@click.command(cls=_Verbs, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@place_options
@click.version_option(__version__, message="perdure %(version)s")
@click.pass_context
def cli(context: click.Context) -> object:
    """Training jobs that go on existing, whatever dies on the way.

    JOB is a job's id, the beginning of it, or its name. Without a verb: the list of jobs.
    """
    if context.invoked_subcommand is None:
        command = cli.get_command(context, "ps")
        assert command is not None
        return context.invoke(command)
    return None


def run_cli(arguments: Sequence[str], settings: Settings | None = None) -> int:
    """The exit status of `perdure ARGUMENTS`. What went wrong is told on standard error."""
    try:
        status = cli.main(
            list(arguments),
            prog_name="perdure",
            standalone_mode=False,
            obj=settings or Settings(),
            color=colour_choice(),
        )
    except click.ClickException as error:
        error.show()
        return exits.BAD_USAGE
    except PerdureError as error:
        _tell(error)
        return error.exit_status
    except (click.Abort, KeyboardInterrupt):
        click.echo(err=True)
        return exits.status_of_signal(2)
    return status if isinstance(status, int) else exits.DONE


def _tell(error: PerdureError) -> None:
    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
    what, *rest = wrap(f"perdure: {error}", width)
    click.echo("\n".join([click.style(what, fg="bright_red"), *rest]), err=True, color=colour_choice())


def main() -> NoReturn:
    try:
        status = run_cli(sys.argv[1:])
        sys.stdout.flush()
    except (ReaderGone, BrokenPipeError):
        # End quietly, as a program does that SIGPIPE ends. What is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = exits.status_of_signal(13)
    except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, a person reads it and a script sees 125
        status = _tell_bug(error)
    sys.exit(status)


def _tell_bug(error: Exception) -> int:
    if os.environ.get("PERDURE_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    why = f"{type(error).__name__}: {error}"
    _tell(PerdureError("Perdure itself failed.", why, "PERDURE_TRACEBACK=1 shows where; please report it."))
    return exits.PERDURE_FAILED
