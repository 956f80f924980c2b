from __future__ import annotations

import sys
from pathlib import Path

import click

from perdured.cli.output import print_json
from perdured.cli.settings import json_option
from perdured.cli.text import Cell, clean, paint
from perdured.cli.verifying import UNHEALTHY, Finding, find_targets, verify_target
from perdured.contract.exits import PERDURE_FAILED

_BROKEN = 1


@click.command("verify")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@json_option
def command(path: Path, *, as_json: bool) -> int:
    """Check every byte of a checkpoint: exit 0 when it is whole, 1 when it is not, saying which file is wrong.

    PATH is a checkpoint, a directory of checkpoints, or what another library wrote: a file of torch.save, Lightning or
    safetensors, a folder of Hugging Face or DCP; of what has no checksums the structure is checked, and it says so.
    One that is whole and was saved with a loss that was not finite is called unhealthy.
    """
    findings = []
    for target in find_targets(path):
        with _Reading(target):
            findings.append(verify_target(target))
        if not as_json:
            click.echo(format_finding(findings[-1]))
    if as_json:
        print_json(
            {"schema": 1, "valid": all(f.is_valid for f in findings), "checked": [_describe(f) for f in findings]}
        )
    if all(finding.is_valid for finding in findings):
        return 0
    return PERDURE_FAILED if all(finding.is_valid or finding.is_unknown for finding in findings) else _BROKEN


def format_finding(finding: Finding) -> str:
    """One line, and one more for each problem."""
    if finding.is_valid:
        line = f"{paint(Cell('valid', 'green'))}  {finding.path}"
        line += f"\n  {finding.note}" if finding.note else ""
        return f"{line}\n  {paint(Cell('unhealthy', 'yellow'))}: {UNHEALTHY}" if finding.healthy is False else line
    word = Cell("unknown", "yellow") if finding.is_unknown else Cell("broken", "bright_red")
    problems = [f"  {clean(file)} {clean(what)}" for file, what in finding.problems]
    return "\n".join([f"{paint(word)}  {finding.path}", *problems])


def _describe(finding: Finding) -> dict[str, object]:
    return {
        "path": str(finding.path),
        "step": finding.step,
        "valid": None if finding.is_unknown else finding.is_valid,
        "healthy": finding.healthy,
        "note": finding.note,
        "problems": [{"file": file, "what": what} for file, what in finding.problems],
    }


class _Reading:
    """Says what is being read, where somebody watches and it may take a while."""

    def __init__(self, target: Path) -> None:
        self._line = f"reading {target.name}…" if sys.stderr.isatty() else ""

    def __enter__(self) -> None:
        if self._line:
            click.echo(self._line, nl=False, err=True)

    def __exit__(self, *_: object) -> None:
        if self._line:
            click.echo("\r\033[K", nl=False, err=True)
