"""`perdure top`: what fits is shown, what does not is counted."""

from __future__ import annotations

from typing import cast

import click
import pytest

from perdured.cli.text import parse_time
from perdured.cli.top_page import format_top
from perdured.views import JobView
from perdured.wire import Job
from support.fake_service import make_job

NOW = parse_time("2026-11-24T10:08:30Z")


def as_seen(view: JobView) -> Job:
    return cast(Job, view.model_dump(mode="json", by_alias=True))


def show(jobs: list[JobView], width: int = 120, height: int = 20) -> list[str]:
    return [click.unstyle(line) for line in format_top([as_seen(job) for job in jobs], NOW, width, height)]


def test_the_first_line_counts_the_states() -> None:
    jobs = [make_job("a"), make_job("b"), make_job("c", state="queued")]
    assert show(jobs)[0].endswith("  2 running, 1 queued")
    assert show([])[0].endswith("  no jobs")


@pytest.mark.parametrize("width", [40, 60, 120])
@pytest.mark.parametrize("height", [4, 5, 10, 60])
def test_it_is_never_higher_than_the_terminal_and_says_what_it_left_out(width: int, height: int) -> None:
    """Also where each job has two lines."""
    lines = show([make_job(f"job{number:05}") for number in range(20)], width, height)
    shown = sum(line.startswith("job") for line in lines)
    assert len(lines) <= height
    assert shown == 20 or lines[-1] == f"(and {20 - shown} more)"
