"""What a submitter hands in: a spec, and the surroundings it is to run in. Frozen from then on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    return Submission(spec, {**env, **spec.env}, os.path.realpath(workdir / spec.workdir))


def _explain(error: InvalidSpec) -> InvalidSubmission:
    count = len(error.errors)
    what = "The spec has an error:" if count == 1 else f"The spec has {count} errors:"
    lines = "\n".join(f"  {each}" for each in error.errors)
    return InvalidSubmission(what, lines, "Nothing was submitted. Mend the spec and submit it again.")
