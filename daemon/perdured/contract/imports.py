"""What an attempt has imported, as it writes it down for the standby of the next: modules that are installed, in the
order in which they were done with, and the environment in which that was.

A file beside the keeper's socket for each process that reports a step, private to its owner: the environment of a job
holds keys.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

MAX_BYTES = 8 << 20


class Imports(NamedTuple):
    modules: tuple[str, ...]
    environ: dict[str, str]


def find_path(attempt: Path, pid: int) -> Path:
    return attempt / f"imports-{pid}.json"


def format_imports(imports: Imports) -> bytes:
    return json.dumps({"modules": list(imports.modules), "environ": imports.environ}).encode("ascii")


def parse_imports(value: object) -> Imports:
    """ValueError for anything else than what `format_imports` made."""
    told = value if isinstance(value, dict) else {}
    modules, environ = told.get("modules"), told.get("environ")
    if not isinstance(modules, list) or not isinstance(environ, dict):
        raise ValueError("not a record of imports")
    texts = [*modules, *environ, *environ.values()]
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise ValueError("not a record of imports")
    return Imports(tuple(modules), environ)
