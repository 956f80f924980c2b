from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path, PurePosixPath

import click

from perdured.cli.output import print_json, print_lines, say
from perdured.cli.service import perform as doing
from perdured.cli.service import plan, status
from perdured.cli.settings import Settings, json_option, pass_settings, place_options
from perdured.contract import exits
from perdured.errors import PerdureError

user_option = click.option("--user", "is_user", is_flag=True, help="Your own service instead of the machine's.")


@click.group("service")
def command() -> None:
    """The daemon as a service of systemd: started at boot, and again when it dies.

    The machine's service runs as the account `perdure`, and its jobs with it; with --user it is yours alone, and needs
    no root. Each attempt of a job is a unit of its own, so the service may be stopped and upgraded while jobs run.
    """


@command.command()
@user_option
@click.option("--now", is_flag=True, help="Start it as well; one that runs is replaced, and its jobs run on.")
def install(*, is_user: bool, now: bool) -> None:
    """Write the unit and have it started at boot. May be called again, such as after an upgrade."""
    doing.refuse_without_systemd()
    program, files = find_program(), doing.load_files(is_user=is_user)
    if is_user:
        doing.perform(plan.plan_user(files, str(program), _find_folder(), now=now))
    else:
        doing.refuse_all_but_root()
        doing.refuse_hidden_program(program)
        doing.perform(plan.plan_account(files))
        uid = doing.find_uid()
        if uid is None:
            raise PerdureError(
                f"There is no account {plan.ACCOUNT}.", "systemd-sysusers did not make it.", "Make it with useradd."
            )
        doing.perform(plan.plan_system(files, str(program), uid, now=now))
    say("It is started at boot." if not now else "It runs, and is started at boot.")
    say(_say_next(is_user=is_user, now=now))


def _say_next(*, is_user: bool, now: bool) -> str:
    if not now:
        return f"Next: systemctl {'--user ' if is_user else ''}start perdured"
    return f"Next: {'' if is_user else f'sudo -u {plan.ACCOUNT} '}perdure submit train.toml"


@command.command()
@user_option
def uninstall(*, is_user: bool) -> None:
    """Stop the daemon and take the unit away. Jobs that run go on until they end; history and checkpoints stay."""
    if is_user:
        doing.perform(plan.plan_removal_from_user(_find_folder()))
    else:
        doing.refuse_all_but_root()
        doing.perform(plan.plan_removal_from_system(doing.find_uid()))
    say("The service is gone. Jobs that ran go on until they end; what is known of them stays where it was.")


@command.command("status")
@user_option
@json_option
@place_options
@pass_settings
def show(settings: Settings, *, is_user: bool, as_json: bool) -> int:
    """Whether it is installed, started at boot, running and answering. Ends with 69 when nobody answers."""
    socket = settings.socket_path if is_user or settings.socket else Path("/run/perdure/perdured.sock")
    name = pwd.getpwuid(os.geteuid()).pw_name if is_user else plan.ACCOUNT
    unit = status.observe_unit(is_user=is_user)
    shown = status.describe(unit, socket, status.observe_answer(socket), lingers=status.is_lingering(name))
    if as_json:
        print_json(shown)
    else:
        print_lines(status.say_status(shown, f"perdure service install{' --user' if is_user else ''}"))
    return exits.DONE if shown["version"] else exits.NO_DAEMON


def find_program() -> Path:
    """The `perdured` of this very installation, or the one on PATH."""
    beside = Path(sys.executable).parent / "perdured"
    found = str(beside) if beside.exists() else shutil.which("perdured")
    if found is None:
        raise PerdureError(
            "The daemon's program was not found.", f"There is no {beside}, nor a perdured in PATH.", "Install it."
        )
    return Path(found).absolute()


def _find_folder() -> PurePosixPath:
    return plan.find_units_folder(os.environ, PurePosixPath(Path.home()))
