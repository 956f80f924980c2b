"""An array: one spec, submitted as many jobs that differ by a number.

The number is `{index}` in the words of the command, and PERDURE_ARRAY_INDEX in the environment. Two jobs never share a
checkpoint directory, so each has one of its own below that of the spec; so it is with the remote.
"""

from __future__ import annotations

import re

from perdured.core.spec import Spec

MOST = 1000
INDEX = "PERDURE_ARRAY_INDEX"
SIZE = "PERDURE_ARRAY_SIZE"
RIGHT = 'a number of jobs such as "10" (0 to 9), or a range such as "1-10"'
_LONGEST_NAME = 64


def parse_array(text: str) -> range:
    """The numbers of the jobs; ValueError for what names none, or too many."""
    match = re.fullmatch(r"\s*(?:(\d{1,9})\s*-\s*)?(\d{1,9})\s*", text)
    if match is None:
        raise ValueError("it is neither a number nor a range")
    first, last = match.groups()
    numbers = range(int(first), int(last) + 1) if first is not None else range(int(last))
    if not 0 < len(numbers) <= MOST:
        raise ValueError(f"it has {len(numbers)} jobs, and an array has 1 to {MOST}")
    return numbers


def make_element(spec: Spec, index: int, size: int) -> Spec:
    """The spec of one of its jobs."""
    name, checkpoint = spec.job_name, spec.checkpoint
    places: dict[str, object] = {"dir": f"{checkpoint.dir}/{index}"}
    if checkpoint.remote is not None:
        places["remote"] = f"{checkpoint.remote}/{index}"
    changes: dict[str, object] = {
        "name": f"{name[: _LONGEST_NAME - len(str(index)) - 1]}-{index}",
        "group": spec.group or name,
        "command": tuple(word.replace("{index}", str(index)) for word in spec.command),
        "env": {**spec.env, INDEX: str(index), SIZE: str(size)},
        "checkpoint": checkpoint.model_copy(update=places),
    }
    return spec.model_copy(update=changes)
