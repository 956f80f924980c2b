"""The demo as the command line calls it: the play, then the table, then the verdict."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from perdured.contract import exits

from .compare import Final, load_final
from .display import open_display
from .outcome import Outcome
from .play import Play
from .script import SCRIPT
from .stage import Scale, Stage, check_torch, find_script
from .table import HEADINGS, format_table, list_rows


@click.command("demo", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--keep", is_flag=True, help="Keep the folder with logs and checkpoints.")
def command(*, keep: bool) -> int:
    """Train a GPT on Python's own sources, twice at the same time: alone, and under Perdure while everything breaks.

    Exit status 0 when the final weights of both are the same, bit by bit. It takes one to two minutes on two cores.
    """
    return run_demo(keep=keep)


def run_demo(scale: Scale | None = None, *, keep: bool = False) -> int:
    """0 when the disturbed run ended with the bits of the undisturbed one and nothing went wrong on the way, else 1.

    `keep` leaves the folder with logs and checkpoints; so does a demo that ends otherwise than well.
    """
    check_torch()
    _end_on_signals()
    stage = Stage(Path(tempfile.mkdtemp(prefix="perdure-demo-")), find_script(), scale or Scale())
    is_well = False
    try:
        outcomes = _play(stage)
        finals = load_final(stage.disturbed), load_final(stage.undisturbed)
        is_well = _tell(outcomes, *finals)
    finally:
        if is_well and not keep:
            shutil.rmtree(stage.root, ignore_errors=True)
        else:
            click.echo(f"Logs and checkpoints are in {stage.root}")
    return 0 if is_well else 1


def _end_on_signals() -> None:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: with nothing left behind."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(exits.status_of_signal(received)))


def _play(stage: Stage) -> list[Outcome]:
    display = open_display()
    play = Play(stage, display)
    try:
        return play.perform()
    finally:
        display.close()
        play.end()


def _tell(outcomes: Sequence[Outcome], disturbed: Final, undisturbed: Final) -> bool:
    click.echo()
    click.echo("\n".join(format_table(HEADINGS, list_rows(outcomes))))
    click.echo()
    faults = find_faults(outcomes, disturbed, undisturbed)
    for fault in faults:
        click.secho(f"✗ {fault}", fg="red")
    if not faults:
        click.secho("✓ The final weights equal those of the undisturbed run, bit by bit", fg="green")
        click.echo(f"  (step {disturbed.step}, sha256 {disturbed.digest[:16]}…)")
    return not faults


def find_faults(outcomes: Sequence[Outcome], disturbed: Final, undisturbed: Final) -> list[str]:
    """All that is not as it must be, in words."""
    faults = [f"{outcome.title}: {fault}" for outcome in outcomes for fault in outcome.faults]
    if len(outcomes) < len(SCRIPT):
        faults.append(f"The run was over after {len(outcomes)} of {len(SCRIPT)} disturbances.")
    if disturbed.step != undisturbed.step:
        faults.append(f"It ended at step {disturbed.step}, the undisturbed run at {undisturbed.step}.")
    if disturbed.digest != undisturbed.digest:
        faults.append("The final weights differ from those of the undisturbed run.")
    return faults
