"""What a submitter hands in: a spec, and the surroundings it is to run in. Frozen from then on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from perdured.core.queue.array import RIGHT, make_element, parse_array
from perdured.core.spec import Spec
from perdured.core.spec_text import InvalidSpec, parse_spec
from perdured.errors import BadUsage


@dataclass(frozen=True)
class Submission:
    spec: Spec
    env: dict[str, str]
    """The submitter's own environment, captured at submit, with the spec's `env` over it."""
    workdir: str

    @property
    def checkpoint_dir(self) -> Path:
        return Path(self.workdir, self.spec.checkpoint.dir)


class InvalidSubmission(BadUsage):
    """A spec with errors: all of them are told at once."""


def parse_submission(text: str, *, workdir: Path, env: Mapping[str, str]) -> Submission:
    """The submission of a spec's text; relative paths in it start at `workdir` (the folder of the spec's file)."""
    try:
        spec = parse_spec(text)
    except InvalidSpec as error:
        raise _explain(error) from None
    env = {**env, **spec.env}
    _refuse_impossible_environment(env)
    return Submission(spec, env, _resolve_workdir(workdir / spec.workdir))


def parse_elements(text: str, *, workdir: Path, env: Mapping[str, str], array: str) -> list[Submission]:
    """The submissions of an array's jobs; see `perdured.core.queue.array`."""
    whole = parse_submission(text, workdir=workdir, env=env)
    try:
        numbers = parse_array(array)
    except ValueError as error:
        raise BadUsage(f"{array!r} is no array.", f"{error}.", f"Give {RIGHT}.") from None
    specs = [make_element(whole.spec, number, len(numbers)) for number in numbers]
    return [replace(whole, spec=spec, env={**whole.env, **spec.env}) for spec in specs]


def _resolve_workdir(path: Path) -> str:
    todo = "Rename that directory, or choose another `workdir`."
    if "\0" in str(path):
        raise BadUsage("The workdir is no path.", f"It has a NUL in it: {str(path)!a}.", todo)
    real = str(path)
    with contextlib.suppress(UnicodeEncodeError):  # a surrogate that stands for no byte
        real = os.path.realpath(path)
    if not is_text(real):
        raise BadUsage("The workdir is not UTF-8.", f"It is {real!a}, and specs and JSON hold only text.", todo)
    return real


def _refuse_impossible_environment(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value or not is_text(name + value):
            why = f"{name!a}: a name is not empty, without =; name and value are UTF-8 without NUL."
            raise BadUsage("No process can have this environment.", why, "Leave that variable out.")


def is_text(text: str) -> bool:
    """False for what came from the kernel as bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _explain(error: InvalidSpec) -> InvalidSubmission:
    count = len(error.errors)
    what = "The spec has an error:" if count == 1 else f"The spec has {count} errors:"
    lines = "\n".join(f"  {each}" for each in error.errors)
    return InvalidSubmission(what, lines, "Nothing was submitted. Mend the spec and submit it again.")
