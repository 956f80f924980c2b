"""Durations on the command line: seconds as a number, or with a unit as in the spec."""

from __future__ import annotations

import click

from perdured.core.units import parse_duration


class _Duration(click.ParamType):  # type: ignore[type-arg]  # click before 8.5 takes none
    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        try:
            return float(text) if text.replace(".", "", 1).isdigit() else parse_duration(text)
        except ValueError:
            self.fail(f'{text!r} is no duration; write seconds, or "90s", "10min", "1h30min".', param, ctx)


DURATION = _Duration()
