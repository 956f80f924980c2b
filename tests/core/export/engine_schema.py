"""The schemas that other engines publish; where each came from stands in its first lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

_FOLDER = Path(__file__).parent / "schemas"


def find_errors(document: object, engine: str, kind: str) -> list[str]:
    """What the schema of `kind` has against a document."""
    schema: dict[str, Any] = json.loads((_FOLDER / f"{engine}.json").read_text(encoding="utf-8"))
    validator = Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schema["$defs"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
