from __future__ import annotations

from pathlib import Path

import click

from perdured.cli.output import say
from perdured.cli.toml import format_value
from perdured.errors import BadUsage

_TEMPLATE = """\
# A job for Perdure. Hand it to the daemon with `perdure submit {file}`, or run it here with `perdure run {file}`.
# Each line that is commented out shows the default.

name = {name}
command = {command}     # words; there is no shell in between
workdir = "."                          # relative to this file
# env = {{ OMP_NUM_THREADS = "2" }}      # besides the environment of the shell that submits

[checkpoint]
# dir = "checkpoints"                  # relative to workdir
# every = "auto"                       # "auto", "10min", "500 steps"
# keep = 3
# remote = "s3://bucket/run"           # copies go there too, and a new machine goes on from there
# For a script that writes its own files and uses nothing of Perdure:
# pattern = "out/ckpt-*.pt"
# resume_args = ["--resume", "{{checkpoint}}"]

[restart]
# failures = 5                         # in a row without progress, then give up
# backoff = "1s..5min"

[stop]
# grace = "120s"                       # time to save when it is told to stop
# signal = "SIGTERM"
"""

_LIKELY = ("train.py", "main.py", "run.py")
"""Names of the script that trains, the likeliest first."""


@click.command("init")
@click.argument("file", type=click.Path(path_type=Path), default="perdure.toml", metavar="[FILE]")
def command(file: Path) -> None:
    """Write a commented spec to start from, perdure.toml unless you name another. Nothing is overwritten."""
    folder = file.absolute().parent
    script = guess_script(folder)
    text = format_template(file.name, folder.name, script)
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise BadUsage(f"{file} is there already.", "Nothing is overwritten.", "Give another name.") from None
    except OSError as error:
        raise BadUsage(f"{file} cannot be written.", f"{error.strerror}.", "Choose another folder.") from None
    guess = f"it runs {script}" if script else 'put your own command where it says "train.py"'
    say(f"Wrote {file}; {guess}.\nNext: perdure run {file}     or, with a daemon: perdure submit {file}")


def guess_script(folder: Path) -> str | None:
    """The script that trains: the one with a usual name, or the only one there is."""
    scripts = sorted(path.name for path in folder.glob("*.py"))
    usual = [name for name in _LIKELY if name in scripts] or [name for name in scripts if name.startswith("train")]
    if usual:
        return usual[0] if usual[0] in _LIKELY or len(usual) == 1 else None
    return scripts[0] if len(scripts) == 1 else None


def format_template(file: str, folder: str, script: str | None) -> str:
    name = script.removesuffix(".py") if script not in (None, *_LIKELY) else folder
    return _TEMPLATE.format(
        file=file, name=format_value(_as_name(name or "job")), command=format_value(["python", script or "train.py"])
    )


def _as_name(text: str) -> str:
    """Only what a job's name may hold."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in text)
    return kept.lstrip("._-")[:64] or "job"
