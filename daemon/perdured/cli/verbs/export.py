from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from perdured.cli.output import say
from perdured.cli.torch_python import find_torch_python, run_module
from perdured.cli.verifying import BrokenCheckpoint, Finding, find_targets, verify_target
from perdured.contract.durable import write_buffers
from perdured.errors import BadUsage

_TENSORS = "tensors.safetensors"
"""The payload file of a `perdure.Run` that holds every tensor."""


@click.command("export")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("-f", "--force", is_flag=True, help="Replace OUT if it is there.")
@click.option("--python", type=click.Path(path_type=Path), metavar="PYTHON", help="A Python with torch, for .pth.")
def command(path: Path, out: Path, *, force: bool, python: Path | None) -> None:
    """Write a checkpoint as one plain file: a .pth for torch.load, or a .safetensors.

    PATH is a checkpoint or a directory of checkpoints, whose newest whole one is taken. Each byte is verified first.
    """
    if out.suffix not in (".pth", ".pt", ".safetensors"):
        raise BadUsage(f"{out} is no kind of file to export to.", "", "End its name in .pth, .pt or .safetensors.")
    if out.exists() and not force:
        raise BadUsage(f"{out} is there already.", "Nothing is overwritten unasked.", "Use another name, or --force.")
    source = _choose_source(path)
    if out.suffix == ".safetensors" and (source / _TENSORS).exists():
        _copy(source / _TENSORS, out)
    else:
        run_module(find_torch_python(python), "perdure.export", [str(source), str(out)])
    say(f"Wrote {out} from {source}")


def _choose_source(path: Path) -> Path:
    """The newest whole checkpoint; what is broken is told, and never used."""
    findings: list[Finding] = []
    for target in find_targets(path):
        finding = verify_target(target)
        if finding.is_valid:
            return target
        findings.append(finding)
        file, what = finding.problems[0]
        say(f"perdure: {target} is not used: {file} {what}")
    why = "; ".join(
        f"{finding.path.name}: {file} {what}" for finding in findings for file, what in finding.problems[:1]
    )
    raise BrokenCheckpoint(f"There is no whole checkpoint at {path}.", f"{why}.", "`perdure verify` says all about it.")


def _copy(source: Path, out: Path) -> None:
    """Complete or not at all."""
    try:
        write_buffers(out, _read_blocks(source))
    except OSError as error:
        raise BadUsage(f"{out} cannot be written.", f"{error.strerror}.", "Choose another place.") from None


def _read_blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block
