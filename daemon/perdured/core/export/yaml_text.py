"""Text that somebody else chose, as YAML: a string of JSON is one of YAML too, but for what lies beyond 16 bits."""

from __future__ import annotations

import json


def format_string(text: str) -> str:
    """In quotes, on one line."""
    return f'"{"".join(_escape(character) for character in text)}"'


def format_text(key: str, text: str, indent: str) -> list[str]:
    """`key` with a text of many lines: as it is where YAML can hold it so, which is what a person wants to read."""
    if not _is_plain(text):
        return [f"{indent}{format_string(key)}: {format_string(text)}"]
    return [f"{indent}{format_string(key)}: |", *(f"{indent}  {line}".rstrip() for line in text.splitlines())]


def _is_plain(text: str) -> bool:
    lines = text.split("\n")
    is_whole = text[:1].strip() != "" and lines[-1] == "" and lines[-2].strip() != ""
    return is_whole and all(line.isprintable() and line == line.rstrip() for line in lines)


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1] if character <= "\uffff" else f"\\U{ord(character):08x}"
