"""What `perdure doctor` found: as a page for a person, and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from perdured.core.doctor.finding import Finding, Level, Topic, count_level
from perdured.doctor.examine import Report

from .text import DIM, Cell, clean, format_table, paint, wrap_rows

_COLOURS: dict[Level, str] = {"ok": "green", "warning": "yellow", "problem": "bright_red"}
_TITLES: dict[Topic, str] = {"notices": "Before the end", "storage": "Storage", "machine": "This machine"}


def format_page(findings: Sequence[Finding], width: int | None) -> list[str]:
    """A section for each topic, all in the same columns; below what is not ok the reason, and what to do."""
    lines: list[str] = []
    widest = max(len(finding.check) for finding in findings)
    for topic, group in groupby(findings, key=lambda finding: finding.topic):
        rows = [row for finding in group for row in _format_finding(finding, widest)]
        lines += [paint(Cell(_TITLES[topic], DIM)), *format_table(wrap_rows(rows, width), width), ""]
    return [*lines, format_summary(findings)]


def format_summary(findings: Sequence[Finding]) -> str:
    problems, warnings = count_level(findings, "problem"), count_level(findings, "warning")
    if not problems and not warnings:
        return "All is well."
    return f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}.".capitalize()


def describe_report(report: Report, findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "schema": 1,
        "problems": count_level(findings, "problem"),
        "warnings": count_level(findings, "warning"),
        "sources": [source._asdict() for source in report.sources],
        "save": report.save._asdict() if report.save is not None else None,
        "findings": [finding._asdict() for finding in findings],
    }


def _format_finding(finding: Finding, widest: int) -> Iterator[list[Cell]]:
    level = Cell(f"  {finding.level:<7}", _COLOURS[finding.level])
    yield [level, Cell(clean(finding.check).ljust(widest)), Cell(clean(finding.what))]
    for text, colour in ((finding.why, DIM), (finding.todo, None)):
        if text:
            yield [Cell(""), Cell(""), Cell(clean(text), colour)]


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
