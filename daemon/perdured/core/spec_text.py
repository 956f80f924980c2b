"""TOML text to a spec, or all that is wrong with it: each error names the line, the key, what was found there and
what would be right. Parsers of TOML do not report where a key stood, so its line is found again in the text.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from .spec import KeysDisagree, Spec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Keys = tuple[str, ...]


class SpecError(NamedTuple):
    line: int | None
    key: str
    what: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.key}: {self.what}" if self.key else f"{where}{self.what}"


class InvalidSpec(ValueError):
    """The text is no spec; `errors` has every reason, in the order of the text."""

    def __init__(self, errors: list[SpecError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


def parse_spec(text: str) -> Spec:
    """The spec that `text` asks for; raises InvalidSpec."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSpec([_describe_syntax(str(error))]) from None
    try:
        return Spec.model_validate(table)
    except ValidationError as error:
        found = {_describe(detail, text) for detail in error.errors()}
        raise InvalidSpec(sorted(found, key=lambda e: (e.line or 0, e.key))) from None


def _describe_syntax(message: str) -> SpecError:
    at = re.search(r" \(at line (\d+), column (\d+)\)", message)
    what = f"this is not TOML: {message.replace(at.group(0), '') if at else message}"
    return SpecError(int(at.group(1)) if at else None, "", what)


def _describe(detail: Any, text: str) -> SpecError:
    location: Keys = tuple(str(part) for part in detail["loc"])
    if isinstance(detail.get("ctx", {}).get("error"), KeysDisagree):
        key, what = detail["ctx"]["error"].args
        return SpecError(find_line(text, (*location, key)), ".".join((*location, key)), what)
    if detail["type"] == "extra_forbidden":
        return SpecError(find_line(text, location), ".".join(location), _say_unknown(location))
    keys = _known_part(location)
    shown = location if keys == ("env",) else keys
    return SpecError(find_line(text, location), ".".join(shown), _say_wrong(detail, _right_value(keys)))


def _say_wrong(detail: Any, right: str) -> str:
    if detail["type"] == "missing":
        return f"is missing; it must be {right}"
    return f"found {_as_toml(detail['input'])}; it must be {right}"


def _say_unknown(location: Keys) -> str:
    section = _model_at(location[:-1])
    known = list(section.model_fields) if section else []
    near = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.6)
    elsewhere = _find_elsewhere(location[-1])
    if elsewhere and not near:
        return f'unknown key here; did you mean "{elsewhere}"?'
    if near:
        return f'unknown key; did you mean "{near[0]}"?'
    return f"unknown key; known here: {', '.join(known)}"


def _find_elsewhere(key: str) -> str | None:
    """The dotted place of a key that was written into the wrong table."""
    places = {f"{name}.{k}": k for name in Spec.model_fields for k in _fields_of(_model_at((name,)))}
    places |= {name: name for name in Spec.model_fields}
    near = difflib.get_close_matches(key, places.values(), n=1, cutoff=0.8)
    return next((place for place, k in places.items() if near and k == near[0]), None)


def _fields_of(model: type[BaseModel] | None) -> Iterable[str]:
    return model.model_fields if model else ()


def _model_at(keys: Keys) -> type[BaseModel] | None:
    model: type[BaseModel] = Spec
    for key in keys:
        field = model.model_fields.get(key)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        model = inner
    return model


def _known_part(location: Keys) -> Keys:
    """The part of pydantic's location that names keys of the spec: without list indexes and union branches."""
    for depth in range(min(2, len(location)), 0, -1):
        section = _model_at(location[: depth - 1])
        if section and location[depth - 1] in section.model_fields:
            return location[:depth]
    return location


def _right_value(keys: Keys) -> str:
    section = _model_at(keys[:-1])
    field = section.model_fields.get(keys[-1]) if section and keys else None
    return (field.description if field else None) or "something else"


def _as_toml(value: object) -> str:
    if isinstance(value, bool | str | int | float | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return "a table" if isinstance(value, dict) else str(value)


_HEADER = re.compile(r"\s*\[+\s*([^\]]+?)\s*\]+\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=""")


def find_line(text: str, location: Keys) -> int | None:
    """The 1-based line that sets the key at `location`, or the nearest thing above it that stands in the text."""
    table: Keys = ()
    best, depth = None, 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        key = _KEY.match(line)
        if header:
            table = here = _split(header.group(1))
        elif key:
            here = table + _split(key.group(1))
        else:
            continue
        if len(here) > depth and here == location[: len(here)]:
            best, depth = number, len(here)
    return best


def _split(dotted: str) -> Keys:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
