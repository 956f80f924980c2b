"""What `run` and `submit` take: a spec's file, or options and a command after `--`. Both end as TOML text, so that
there is one place that validates, and one kind of message."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from perdured.errors import BadUsage

from .output import say
from .settings import AnyFunction
from .toml import format_toml

_COMMAND = "perdured.command"
"""Where the words after `--` wait in click's context."""


class AskedJob(NamedTuple):
    spec: str
    """TOML."""
    workdir: Path
    """Absolute; relative paths of the spec start here."""
    env: dict[str, str]


class SpecOrCommand(click.Command):
    """A verb with `SPEC` or `-- CMD …`. Click itself forgets whether there was a `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            return super().parse_args(ctx, args[:at])
        try:
            return super().parse_args(ctx, list(args))
        except click.UsageError as error:
            words = self._find_words(ctx, args)
            if len(words) < 2 or words[0].endswith(".toml"):
                raise
            what = error.message.rstrip(".") + "."
            raise BadUsage(what, "A command goes after two dashes.", _did_you_mean(ctx, words)) from None

    def _find_words(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The first word that is no option, and all that follow: what was probably meant as a command."""
        parser = self.make_parser(ctx)
        parser.allow_interspersed_args = False
        parser.ignore_unknown_options = True
        options, rest, _order = parser.parse_args(list(args))
        return [word for word in [options.get("spec"), *rest] if isinstance(word, str)]

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return ["SPEC | [OPTIONS] -- CMD …"]


def _did_you_mean(context: click.Context, words: Sequence[str]) -> str:
    return f"Did you mean: {context.command_path} -- {shlex.join([*_interpreter_of(words[0]), *words])}"


def _interpreter_of(script: str) -> list[str]:
    """What a script has to be given to; none for a program."""
    return next(([program] for suffix, program in ((".py", "python"), (".sh", "bash")) if script.endswith(suffix)), [])


# A double underscore separates the spec's section from its key.
_OPTIONS = (
    click.option("--name", metavar="NAME", help="The job's name; by default that of the script."),
    click.option("--workdir", metavar="DIR", help="Where the command runs; by default here."),
    click.option("--env", "env", multiple=True, metavar="K=V", help="Set a variable, besides those of this shell."),
    click.option("--fresh-start", is_flag=True, help="Begin at step 0; checkpoints that are there are set aside."),
    click.option("--checkpoint-dir", "checkpoint__dir", metavar="DIR", help="Where checkpoints lie [checkpoints]."),
    click.option("--every", "checkpoint__every", metavar="EVERY", help='How often: "auto", "10min", "500 steps".'),
    click.option("--keep", "checkpoint__keep", type=int, metavar="N", help="How many checkpoints to keep [3]."),
    click.option("--pattern", "checkpoint__pattern", metavar="GLOB", help="The files that the program itself writes."),
    click.option(
        "--resume-arg",
        "checkpoint__resume_args",
        multiple=True,
        metavar="WORD",
        help='Added to the command to resume, once per word; "{checkpoint}" is the file.',
    ),
    click.option("--failures", "restart__failures", type=int, metavar="N", help="Give up after so many in a row [5]."),
    click.option("--backoff", "restart__backoff", metavar="RANGE", help='Pause between restarts ["1s..5min"].'),
    click.option("--grace", "stop__grace", metavar="TIME", help='Time to save when told to stop ["120s"].'),
    click.option("--signal", "stop__signal", metavar="NAME", help="What tells it to stop [SIGTERM]."),
)


def job_options(function: AnyFunction) -> AnyFunction:
    """`SPEC` and the options that stand for its keys; all of them arrive as `**asked`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    spec = click.argument("spec", required=False, type=click.Path(path_type=Path), metavar="SPEC")
    return spec(function)


def read_asked_job(context: click.Context, asked: Mapping[str, object]) -> AskedJob:
    """The job that the command line asks for; raises BadUsage where it cannot be meant."""
    command = context.meta.get(_COMMAND)
    options = {key: _checked_option(key, value) for key, value in asked.items() if key != "spec" and _is_given(value)}
    spec = asked["spec"]
    if isinstance(spec, Path):
        if _interpreter_of(spec.name):
            todo = _did_you_mean(context, [str(spec)])
            raise BadUsage(f"{spec} is a script, not a spec.", "A spec is a TOML file.", todo)
        _refuse_mixture(spec, command, options)
        return read_spec_file(spec)
    if not command:
        verb = context.command_path
        raise BadUsage("Nothing to run.", "There is neither a SPEC nor a command.", f"{verb} SPEC, or: {verb} -- CMD …")
    return AskedJob(build_spec(options, command), _checked_workdir(Path.cwd()), _capture_environment())


def read_spec_file(path: Path) -> AskedJob:
    """The job of a spec's file in the environment of this process; raises BadUsage where it cannot be read."""
    return AskedJob(_read_spec(path), _checked_workdir(path.parent.resolve()), _capture_environment())


def build_spec(options: Mapping[str, object], command: Sequence[str]) -> str:
    """The TOML of a spec for `command` with `options`, named as `section__key`."""
    top: dict[str, object] = {"command": _checked(command)}
    sections: dict[str, dict[str, object]] = {}
    for option, value in options.items():
        section, _, key = option.rpartition("__")
        if option == "env":
            sections["env"] = dict(_split_variable(each) for each in _words(value))
        elif section:
            sections.setdefault(section, {})[key] = value
        else:
            top[key] = value
    return format_toml({**top, **sections})


def without_lines(error: BadUsage) -> BadUsage:
    """The same, without the line numbers of a text that the user never saw."""
    return type(error)(error.what, re.sub(r"(?m)^(\s*)line \d+: ", r"\1", error.why), error.todo)


def _is_given(value: object) -> bool:
    return value is not None and value is not False and value != ()


def _words(value: object) -> Sequence[Any]:
    return value if isinstance(value, tuple) else ()


def _split_variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise BadUsage(f"--env {text} sets nothing.", "It has to be a name, =, and a value.", "Write --env NAME=VALUE.")
    return name, value


def _checked(command: Sequence[str]) -> list[str]:
    """Arguments come as bytes from the kernel, and TOML holds text."""
    for word in command:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise BadUsage("The command is not UTF-8.", f"It has the word {word!r}.", "Rename that file.") from None
    return list(command)


def _checked_workdir(path: Path) -> Path:
    if not _is_text(str(path)):
        why = f"It is {str(path)!a}, and specs and JSON hold only text."
        raise BadUsage("The workdir is not UTF-8.", why, "Rename that directory.")
    return path


def _checked_option(option: str, value: object) -> object:
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str) and not _is_text(text):
            name = option.rpartition("__")[2].replace("_", "-")
            raise BadUsage(f"--{name} is not UTF-8.", f"It is {text!a}.", "Use a name that is text.")
    return value


def _capture_environment() -> dict[str, str]:
    captured, dropped = {}, []
    for name, value in os.environ.items():
        if (name + value).isprintable() or _is_text(name + value):
            captured[name] = value
        else:
            dropped.append(name)
    if dropped:
        say(f"perdure: left out of the job's environment, not being UTF-8: {', '.join(map(ascii, dropped))}")
    return captured


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_mixture(spec: Path, command: Sequence[str] | None, options: Mapping[str, object]) -> None:
    if command is not None:
        why = f"There is the spec {spec}, and a command after `--`."
        raise BadUsage("Either a SPEC or a command.", why, "Leave one of the two out.")
    if options:
        named = ", ".join(option.rpartition("__")[2] for option in options)
        raise BadUsage(
            f"Options go with a command, and {spec} is a spec.", f"Given: {named}.", f"Write them into {spec}."
        )


def _read_spec(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadUsage(f"{path} is not UTF-8 text.", "A spec is a TOML file.", "`perdure init` writes one.") from None
    except OSError as error:
        todo = f"A command goes after two dashes: -- {path} …. `perdure init` writes a spec to start from."
        raise BadUsage(f"The spec {path} cannot be read.", f"{error.strerror}.", todo) from None
