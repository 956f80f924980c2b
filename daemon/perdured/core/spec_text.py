"""TOML text to a spec, or all that is wrong with it: each error names the line, the key, what was found there and
what would be right. Parsers of TOML do not report where a key stood, so its line is found again in the text.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from .spec import KeysDisagree, Spec

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Keys = tuple[str, ...]

_MOST_DOTS = 1000
_MOST_ERRORS = 50
_LONGEST_STATEMENT = 500
"""Lines. Where a statement is longer, the lines of what follows it are not told."""
_LONGEST_QUOTE = 100


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
    table = _parse_toml(text)
    try:
        return Spec.model_validate(table)
    except ValidationError as error:
        statements = list(_read_statements(text))
        found = {_describe(detail, statements) for detail in error.errors()[:_MOST_ERRORS]}
        raise InvalidSpec(sorted(found, key=lambda e: (e.line or 0, e.key))) from None


def _parse_toml(text: str) -> dict[str, object]:
    # A key of n parts costs the parser time and memory in n squared: 80 KB of them would take the machine's memory.
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > _MOST_DOTS:
            raise InvalidSpec([SpecError(number, "", f"this line has over {_MOST_DOTS} dots; break it into several")])
    try:
        text.encode()
        return tomllib.loads(text)
    except UnicodeEncodeError:
        what = "this is not TOML: it holds half of a character (a lone surrogate)"
    except RecursionError:
        what = "this is nested too deeply"
    except tomllib.TOMLDecodeError as error:
        raise InvalidSpec([_describe_syntax(str(error))]) from None
    except ValueError as error:  # a number of thousands of digits
        what = f"this cannot be read: {error}"
    raise InvalidSpec([SpecError(None, "", what)])


def _describe_syntax(message: str) -> SpecError:
    at = re.search(r" \(at line (\d+), column (\d+)\)", message)
    what = f"this is not TOML: {message.replace(at.group(0), '') if at else message}"
    return SpecError(int(at.group(1)) if at else None, "", what)


def _describe(detail: Any, statements: list[_Statement]) -> SpecError:
    location: Keys = tuple(str(part) for part in detail["loc"] if part != "[key]")
    line = partial(_find_line, statements)
    if isinstance(detail.get("ctx", {}).get("error"), KeysDisagree):
        key, what = detail["ctx"]["error"].args
        return SpecError(line((*location, key)), _join((*location, key)), what)
    if detail["type"] == "extra_forbidden":
        return SpecError(line(location), _join(location), _say_unknown(location))
    keys = _known_part(location)
    shown = location if keys == ("env",) else keys
    return SpecError(line(location), _join(shown), _say_wrong(detail, _right_value(keys)))


def _join(keys: Keys) -> str:
    """As TOML writes a dotted key."""
    return ".".join(key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key) for key in keys)


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
    if isinstance(value, dict):
        return "a table"
    try:
        is_json = isinstance(value, bool | str | int | float | list | tuple)
        text = json.dumps(value, ensure_ascii=False, default=str) if is_json else str(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…"


def _find_line(statements: list[_Statement], location: Keys) -> int | None:
    """The 1-based line of the statement that sets the key at `location`, or the nearest thing above it."""
    best, depth = None, 0
    for statement in statements:
        here = _count_common(statement.sets, location)
        if here > depth:
            best, depth = statement.line, here
    return best


class _Statement(NamedTuple):
    line: int
    sets: object
    """The whole table as it would be if this statement, and the header above it, were all there is."""


def _read_statements(text: str) -> Iterator[_Statement]:
    """A header, or a key with its value over one or more lines, is what is TOML by itself."""
    header: Keys = ()
    lines, first = "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        lines += line + "\n"
        if number - first > _LONGEST_STATEMENT:
            return
        try:
            alone: object = tomllib.loads(lines)
        except (ValueError, RecursionError):
            continue
        if lines.lstrip().startswith("["):
            header, alone = tuple(_follow_header(alone)), {}
        for key in reversed(header):
            alone = {key: alone}
        yield _Statement(first, alone)
        lines, first = "", number + 1


def _follow_header(table: object) -> Iterator[str]:
    while table:
        if isinstance(table, list):
            table = table[0]
        elif isinstance(table, dict):
            key, table = next(iter(table.items()))
            yield key


def _count_common(table: object, location: Keys) -> int:
    """How many of the location's keys are found, one within the other."""
    for count, key in enumerate(location):
        if not isinstance(table, dict) or key not in table:
            return count
        table = table[key]
    return len(location)
