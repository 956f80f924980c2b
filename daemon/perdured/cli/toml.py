"""Writes the TOML that a command line's options stand for. Only what a spec needs: text, numbers, truth values, lists
and one level of tables. Reading it back is the standard library's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def format_toml(table: Mapping[str, object]) -> str:
    """`table` as TOML text; values that are mappings become sections."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"{format_key(key)} = {format_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{format_key(key)}]"]
            lines += [f"{format_key(each)} = {format_value(inner)}" for each, inner in value.items()]
    return "\n".join(lines) + "\n"


def format_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else format_value(key)


def format_value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for DEL, which TOML wants escaped as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise TypeError(f"no TOML for {type(value).__name__}")
