"""`perdure export slurm|kubernetes|skypilot SPEC`: the spec as another engine understands it."""

from __future__ import annotations

from pathlib import Path

import click

from perdured.core.export.kubernetes import KubernetesWishes, format_kubernetes
from perdured.core.export.skypilot import SkyPilotWishes, format_skypilot
from perdured.core.export.slurm import SlurmWishes, format_slurm
from perdured.core.export.source import Source
from perdured.errors import BadUsage

from .asked_job import read_spec_file
from .duration import DURATION
from .output import say
from .settings import AnyFunction


def _shared(function: AnyFunction) -> AnyFunction:
    spec = click.argument("spec", metavar="SPEC", type=click.Path(path_type=Path))
    path = click.Path(path_type=Path)
    out = click.option("-o", "--output", "out", type=path, metavar="FILE", help="Write it there, not to the terminal.")
    force = click.option("-f", "--force", is_flag=True, help="Replace FILE if it is there.")
    return spec(out(force(function)))


@click.command("slurm")
@_shared
@click.option("--time", type=DURATION, default="24h", metavar="T", help="The time limit [24h].")
@click.option("--partition", metavar="NAME", help="Where to run.")
@click.option("--account", metavar="NAME", help="Who pays.")
def export_slurm(spec: Path, out: Path | None, *, force: bool, **wishes: object) -> None:
    """Write a batch script for sbatch.

    The job saves before its time limit and at a preemption, is put into the queue again, and goes on from there. Its
    checkpoints have to lie on storage that every node sees.
    """
    source, _ = _read(spec)
    _write(format_slurm(source, SlurmWishes(**wishes)), out, force=force)  # type: ignore[arg-type]  # click's own types


@click.command("kubernetes")
@_shared
@click.option("--image", required=True, metavar="IMAGE", help="With perdure, torch and the program in it.")
@click.option("--workdir", default="/workspace", metavar="DIR", help="Where the program lies in it [/workspace].")
@click.option("--storage", default="100Gi", metavar="SIZE", help="For the checkpoints [100Gi].")
@click.option("--shared-memory", default="8Gi", metavar="SIZE", help="For DataLoader workers [8Gi].")
def export_kubernetes(spec: Path, out: Path | None, *, force: bool, **wishes: object) -> None:
    """Write a Job, with the spec and a claim for its checkpoints, for kubectl apply.

    A pod that is taken away has the job's grace and half a minute to save, and the next one goes on from there.
    """
    source, text = _read(spec)
    _refuse_absolute_workdir(source)
    made = format_kubernetes(source, KubernetesWishes(**wishes), text)  # type: ignore[arg-type]  # click's own types
    _write(made, out, force=force)


@click.command("skypilot")
@_shared
@click.option("--accelerators", metavar="NAME:N", help='Such as "H100:1".')
def export_skypilot(spec: Path, out: Path | None, *, force: bool, accelerators: str | None) -> None:
    """Write a managed job for sky jobs launch.

    A machine that is taken away takes its disk along: the spec has to name a checkpoint.remote.
    """
    source, _ = _read(spec)
    if source.spec.checkpoint.remote is None:
        why = "A new machine begins with an empty disk, and would begin at step 0."
        raise BadUsage(f"{spec} names no checkpoint.remote.", why, 'Add to [checkpoint]: remote = "s3://bucket/run"')
    if source.spec.resources.gpus and accelerators is None:
        why = f"The spec asks for {source.spec.resources.gpus}, and SkyPilot wants to know which."
        raise BadUsage("The kind of GPU is missing.", why, "Name it: --accelerators H100:1")
    _write(format_skypilot(source, SkyPilotWishes(accelerators)), out, force=force)


ENGINES: dict[str, click.Command] = {
    "slurm": export_slurm,
    "kubernetes": export_kubernetes,
    "skypilot": export_skypilot,
}


def _read(path: Path) -> tuple[Source, str]:
    from perdured.state.submission import parse_submission

    job = read_spec_file(path)
    submission = parse_submission(job.spec, workdir=job.workdir, env=job.env)
    return Source(submission.spec, str(path.absolute()), submission.workdir), job.spec


def _refuse_absolute_workdir(source: Source) -> None:
    if source.spec.workdir.startswith("/"):
        why = f"{source.spec.workdir} is a place on this machine."
        todo = 'Write workdir = "." and name the place in the image: --workdir /workspace'
        raise BadUsage("The spec's workdir cannot be meant in a container.", why, todo)


def _write(text: str, out: Path | None, *, force: bool) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        with out.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise BadUsage(
            f"{out} is there already.", "Nothing is overwritten unasked.", "Use another name, or --force."
        ) from None
    except OSError as error:
        raise BadUsage(f"{out} cannot be written.", f"{error.strerror}.", "Choose another place.") from None
    say(f"Wrote {out}")
