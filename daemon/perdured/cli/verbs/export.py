from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from perdured.cli.export_spec import ENGINES
from perdured.cli.output import print_json, say
from perdured.cli.settings import json_option
from perdured.cli.torch_python import find_torch_python, run_module
from perdured.cli.verifying import UNHEALTHY, BrokenCheckpoint, Finding, find_targets, verify_target
from perdured.contract.durable import write_buffers
from perdured.errors import BadUsage

_TENSORS = "tensors.safetensors"
"""The payload file of a `perdure.Run` that holds every tensor."""


class _Export(click.Group):
    """`export PATH OUT` for a checkpoint, and `export ENGINE SPEC` for a spec. Words that could be either (a checkpoint
    may lie in a directory called `slurm`) are an engine's only if a spec's name, in .toml, is among those that follow.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(ENGINES)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if is_engine(args) or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        return "", checkpoint_command, args

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        checkpoint_command.format_help(click.Context(checkpoint_command, ctx.parent, ctx.info_name), formatter)
        with formatter.section("Or a spec, for another engine (--help says more)"):
            formatter.write_dl([(f"{name} SPEC", engine.get_short_help_str(80)) for name, engine in ENGINES.items()])


def is_engine(words: list[str]) -> bool:
    first, *rest = words
    return first in ENGINES and (not rest or any(word.endswith(".toml") or word in ("-h", "--help") for word in rest))


@click.command("")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--only", metavar="NAME", help="This object in place of the model, such as the optimizer.")
@click.option("--all", "everything", is_flag=True, help="Every tensor of the checkpoint, each under its place in it.")
@click.option("-f", "--force", is_flag=True, help="Replace OUT if it is there.")
@click.option("--python", type=click.Path(path_type=Path), metavar="PYTHON", help="A Python with torch to do it with.")
@json_option
def checkpoint_command(path: Path, out: Path, *, force: bool, python: Path | None, as_json: bool, **part: Any) -> None:
    """Write a checkpoint as one plain file.

    OUT.pth holds all of it, for torch.load; OUT.safetensors the model alone, under its own names. PATH is a checkpoint,
    or a directory of checkpoints, whose newest whole and healthy one is taken, or a file that torch.save or
    perdure.save wrote. Each byte is verified first.
    """
    if out.suffix not in (".pth", ".pt", ".safetensors"):
        raise BadUsage(f"{out} is no kind of file to export to.", "", "End its name in .pth, .pt or .safetensors.")
    if not out.parent.is_dir():
        why = f"The directory {out.parent} does not exist."
        raise BadUsage(f"{out} cannot be written.", why, "Make it, or choose another place.")
    if out.exists() and not force:
        raise BadUsage(f"{out} is there already.", "Nothing is overwritten unasked.", "Use another name, or --force.")
    flags = _format_part(**part)
    source = _choose_source(path)
    if out.suffix == ".safetensors" and part["everything"] and (source / _TENSORS).exists():
        _copy(source / _TENSORS, out)
    else:
        run_module(find_torch_python(python), "perdure.export", [str(source), str(out), "--verified", *flags])
    if as_json:
        print_json({"schema": 1, "path": str(out), "source": str(source)})
    else:
        say(f"Wrote {out} from {source}")


def _format_part(*, only: str | None, everything: bool) -> list[str]:
    """The options of `perdure.export`."""
    if only is not None and everything:
        raise BadUsage("--only and --all are not understood together.", "", "Leave out one of them.")
    if only is not None:
        return [f"--only={only}"]
    return ["--all"] if everything else []


def _choose_source(path: Path) -> Path:
    """The newest whole and healthy checkpoint; what is not used is told. An unhealthy one has to be named."""
    targets = find_targets(path)
    faults: list[str] = []
    is_one_whole = False
    for target in targets:
        finding = verify_target(target)
        fault = _find_fault(finding)
        if fault is None:
            return target
        if finding.is_valid and (targets == [path] or path.is_file()):
            say(f"perdure: {target} is {fault}")
            return target
        is_one_whole = is_one_whole or finding.is_valid
        faults.append(f"{target.name}: {fault}")
        say(f"perdure: {target} is not used: {fault}")
    what = "whole and healthy" if is_one_whole else "whole"
    todo = "To export an unhealthy one, name it." if is_one_whole else "`perdure verify` says all about it."
    raise BrokenCheckpoint(f"There is no {what} checkpoint at {path}.", f"{'; '.join(faults)}.", todo)


def _find_fault(finding: Finding) -> str | None:
    if finding.is_valid:
        return f"unhealthy: {UNHEALTHY}" if finding.healthy is False else None
    file, what = finding.problems[0]
    return f"{file} {what}"


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


command = _Export(
    "export",
    help=checkpoint_command.help,
    commands=ENGINES,
    no_args_is_help=True,
    # Options before the words are those of the command that the words will choose.
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
