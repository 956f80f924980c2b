"""What a user asks for. Each field's description says what a right value looks like; the errors quote it.

A spec is frozen once submitted. Defaults are the values of the design page. Text becomes a spec in
`perdured.core.spec_text`.
"""

from __future__ import annotations

import re
import signal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from .units import parse_duration, parse_size


class Section(BaseModel):
    """A table of the spec: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class KeysDisagree(ValueError):
    """A key that is right by itself and wrong beside another: (key, what is wrong)."""


def _read_duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else _refuse_bool(value)


def _read_size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else _refuse_bool(value)


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a boolean is no number")
    return value


def _refuse_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("no file, argument or variable can hold a NUL character")
    return text


Text = Annotated[str, Field(strict=True), AfterValidator(_refuse_nul)]
LONGEST = 1e9
"""Seconds, thirty years: what is longer is a slip of the pen, and would overflow somewhere."""
Duration = Annotated[float, BeforeValidator(_read_duration), Field(ge=0, le=LONGEST)]
Size = Annotated[int, BeforeValidator(_read_size), Field(gt=0, le=2**63)]
Count = Annotated[int, BeforeValidator(_refuse_bool), Field(strict=True, le=10**9)]

_DURATION = 'a duration such as "90s", "10min", "1h30min", or a number of seconds'


class Interval(Section):
    """How often to save; with neither given, Perdure chooses."""

    seconds: float | None = Field(None, gt=0, le=LONGEST)
    steps: int | None = Field(None, gt=0, le=10**12)

    @property
    def as_text(self) -> str:
        """As a script's environment carries it."""
        if self.steps is not None:
            return f"{self.steps} steps"
        return f"{self.seconds:.12g}s" if self.seconds is not None else "auto"


def _read_interval(value: object) -> object:
    if value == "auto":
        return Interval()
    if isinstance(value, str):
        steps = re.fullmatch(r"\s*([1-9]\d*)\s*steps?\s*", value)
        try:
            return Interval(steps=int(steps.group(1))) if steps else Interval(seconds=parse_duration(value))
        except ValidationError as error:
            raise ValueError("no such interval") from error
    return value


def _check_pattern(pattern: str) -> str:
    *folders, name = pattern.split("/")
    if name in ("", ".", "..") or "**" in name or any("**" in folder and folder != "**" for folder in folders):
        raise ValueError("not a pattern of files")
    return pattern


_REMOTE = r"^(?:(?:s3|gs|az)://[^/@:?#\s]+(?:/[^?#\s]*)?|file:///[^?#]+)$"
"""A bucket and what is below it, or a whole path. Credentials have no place in it: a spec is shown and kept."""


class Checkpoint(Section):
    dir: Text = Field("checkpoints", min_length=1, description='a directory, such as "checkpoints"')
    every: Annotated[Interval, BeforeValidator(_read_interval)] = Field(
        Interval(), description='"auto", a duration such as "10min", or a number of steps such as "500 steps"'
    )
    keep: Count = Field(3, ge=2, description="a whole number, 2 or more: how many checkpoints to keep")
    memory: bool = Field(True, strict=True, description="true or false")
    remote: Annotated[Text, AfterValidator(lambda url: url.rstrip("/"))] | None = Field(
        None, pattern=_REMOTE, description='a URL such as "s3://bucket/run" (s3, gs, az or file), without credentials'
    )
    remote_keep: Count | None = Field(
        None, ge=2, description="a whole number, 2 or more: how many checkpoints to keep there"
    )
    remote_limit: Size | None = Field(None, description='a size such as "20MiB": bytes a second that uploads may take')
    pattern: Annotated[Text, AfterValidator(_check_pattern)] | None = Field(
        None, description='a file pattern such as "out/ckpt-*.pt"'
    )
    resume_args: tuple[Text, ...] = Field(
        (), description='a list of words with one "{checkpoint}", such as ["--resume", "{checkpoint}"]'
    )

    @model_validator(mode="after")
    def _settings_of_the_remote_have_one(self) -> Checkpoint:
        for key in ("remote_keep", "remote_limit"):
            if getattr(self, key) is not None and self.remote is None:
                raise KeysDisagree(key, "works together with `remote`, which says where to")
        return self

    @model_validator(mode="after")
    def _resume_args_name_the_checkpoint(self) -> Checkpoint:
        if self.resume_args and not any("{checkpoint}" in word for word in self.resume_args):
            raise KeysDisagree(
                "resume_args", 'no word holds "{checkpoint}", so the job could not know what to resume from'
            )
        if self.resume_args and self.pattern is None:
            raise KeysDisagree("resume_args", "works together with `pattern`, which names the files to resume from")
        return self


class Backoff(Section):
    """Seconds. Never nothing: a job that always asks to be run again must not spin."""

    first: float = Field(gt=0, le=LONGEST)
    longest: float = Field(gt=0, le=LONGEST)

    @model_validator(mode="after")
    def _first_is_not_the_longer(self) -> Backoff:
        if self.first > self.longest:
            raise ValueError("the first delay is longer than the longest")
        return self


def _read_backoff(value: object) -> object:
    if not isinstance(value, str):
        return value
    first, dots, longest = value.partition("..")
    if not dots:
        raise ValueError("not a range")
    try:
        return Backoff(first=parse_duration(first), longest=parse_duration(longest))
    except ValidationError as error:  # which would be told of the two numbers, not of the text that was written
        raise ValueError("no such range") from error


class Restart(Section):
    failures: Count = Field(
        5, ge=1, description="a whole number, 1 or more: failures in a row without progress before giving up"
    )
    backoff: Annotated[Backoff, BeforeValidator(_read_backoff)] = Field(
        Backoff(first=1.0, longest=300.0), description='a range of durations such as "1s..5min"'
    )


def _read_signal(value: object) -> object:
    if isinstance(value, str) and value in signal.Signals.__members__ and value not in ("SIGKILL", "SIGSTOP"):
        return value
    raise ValueError("not a signal that a process can act on")


class StopSection(Section):
    grace: Duration = Field(120.0, description=_DURATION)
    signal: Annotated[str, BeforeValidator(_read_signal)] = Field(
        "SIGTERM", description='a signal that a process can act on, such as "SIGTERM", "SIGINT" or "SIGUSR1"'
    )

    @property
    def signal_number(self) -> int:
        return signal.Signals[self.signal].value


def _read_limit(value: object) -> object:
    return value if value in ("auto", "never") else _read_duration(value)


Limit = Annotated[float, Field(gt=0, le=LONGEST)]


class Health(Section):
    hang_after: Annotated[Limit | Literal["auto", "never"], BeforeValidator(_read_limit)] = Field(
        "auto", description='"auto", "never", or a duration such as "30min"'
    )
    output_after: Annotated[Limit | Literal["never"], BeforeValidator(_read_limit)] = Field(
        "never", description='"never", or a duration such as "30min"'
    )
    file: Text | None = Field(None, min_length=1, description='a file such as "out/train.log"')
    file_after: Annotated[Limit | Literal["never"], BeforeValidator(_read_limit)] = Field(
        "never", description='"never", or a duration such as "30min"'
    )
    non_finite: Literal["restart", "ignore"] = Field("restart", description='"restart" or "ignore"')
    skip_batches: bool = Field(False, strict=True, description="true or false")

    @model_validator(mode="after")
    def _file_and_its_limit_go_together(self) -> Health:
        if self.file is not None and self.file_after == "never":
            raise KeysDisagree("file", "works together with `file_after`, which says how long it may stay as it is")
        if self.file is None and self.file_after != "never":
            raise KeysDisagree("file_after", "works together with `file`, which names the file that has to change")
        return self


class Resources(Section):
    cpus: Count = Field(0, ge=0, description="a whole number of CPUs, 0 or more")
    gpus: Count = Field(0, ge=0, description="a whole number of GPUs, 0 or more")
    memory: Size | None = Field(None, description='a size such as "16GiB"')


class Ranks(Section):
    per_node: Count = Field(1, ge=1, description="a whole number, 1 or more")
    nodes: str = Field("1", pattern=r"^[1-9]\d*(:[1-9]\d*)?$", description='a number or a range, such as "1" or "1:4"')


class Standby(Section):
    enabled: bool = Field(True, strict=True, description="true or false")
    preload: tuple[str, ...] = Field(("torch",), description='a list of modules such as ["torch"]')


class Notify(Section):
    urls: tuple[str, ...] = Field((), description='a list of URLs such as ["https://ntfy.sh/my-runs"]')


_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class Spec(Section):
    name: str | None = Field(
        None,
        pattern=_NAME,
        description='up to 64 letters, digits, ".", "_" or "-", beginning with a letter or digit, such as "gpt"',
    )
    command: tuple[Text, ...] = Field(
        min_length=1, description='a list of words such as ["python", "train.py"]; there is no shell in between'
    )
    workdir: Text = Field(".", min_length=1, description='a directory such as "."')
    env: dict[Annotated[Text, Field(pattern="^[^=]+$")], Text] = Field(
        default_factory=dict, description='text for each name, such as { OMP_NUM_THREADS = "2" }'
    )
    fresh_start: bool = Field(False, strict=True, description="true or false")
    priority: Count = Field(0, ge=-(10**9), description="a whole number; of the jobs that wait the highest goes first")
    after: tuple[Text, ...] = Field(
        (), description='a list of jobs such as ["prepare"]: it starts when they have succeeded'
    )
    group: Text | None = Field(None, pattern=_NAME, description='a name such as "sweep"')
    parallel: Count | None = Field(None, ge=1, description="a whole number, 1 or more: so many of its group at once")
    at: AwareDatetime | None = Field(None, description='a time with its zone, such as "2026-11-25T22:00:00+01:00"')
    checkpoint: Checkpoint = Field(Checkpoint(), description="a table: [checkpoint]")
    restart: Restart = Field(Restart(), description="a table: [restart]")
    stop: StopSection = Field(StopSection(), description="a table: [stop]")
    health: Health = Field(Health(), description="a table: [health]")
    resources: Resources = Field(Resources(), description="a table: [resources]")
    ranks: Ranks = Field(Ranks(), description="a table: [ranks]")
    standby: Standby = Field(Standby(), description="a table: [standby]")
    notify: Notify = Field(Notify(), description="a table: [notify]")

    @property
    def job_name(self) -> str:
        """The name given, else that of the first script in the command, else of the command itself."""
        if self.name is not None:
            return self.name
        script = next((word for word in self.command if word.endswith((".py", ".sh"))), self.command[0])
        stem = script.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        return re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip("._-")[:64] or "job"


def list_unserved(spec: Spec) -> list[str]:
    """What the spec asks for and this version does not do yet, in words: said at submit, never silently dropped."""
    ranks = spec.ranks
    asked = {
        'ranks: only one process is started; use command = ["torchrun", …]': (ranks.per_node, ranks.nodes) != (1, "1"),
        "notify.urls: no notifications are sent yet": spec.notify.urls,
    }
    return [text for text, is_asked in asked.items() if is_asked]
