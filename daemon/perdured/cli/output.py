"""Where output goes: data to standard output, all else to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable

import click


def colour_choice() -> bool | None:
    """False where the user wants none (https://no-color.org); otherwise click asks the stream what it is."""
    return False if os.environ.get("NO_COLOR") else None


def say(text: str) -> None:
    """For the person at the terminal; never data."""
    click.echo(text, err=True)


def print_lines(lines: Iterable[str]) -> None:
    click.echo("\n".join(lines))


def print_json(value: object) -> None:
    """Indented, for people and programs alike."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: object) -> None:
    """One object a line and at once, for what streams."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_bytes(data: bytes) -> None:
    """A job's output, unchanged. Under PYTHONUNBUFFERED the stream is raw, and may take less than it is given."""
    sys.stdout.flush()
    rest = memoryview(data)
    while rest:
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()
