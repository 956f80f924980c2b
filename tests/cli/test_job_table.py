"""`perdure ps` as it looks, at several widths."""

from __future__ import annotations

from typing import cast

import click
import pytest

from perdured.cli.job_table import format_jobs
from perdured.cli.text import parse_time
from perdured.views import JobView
from perdured.wire import Job
from support.fake_service import make_job

NOW = parse_time("2026-11-24T10:08:30Z")
WAITING = make_job(
    "p3x9aa2b",
    "bert-large-uncased-finetune",
    state="waiting",
    reason="waiting 8 s before attempt 4: exit code 1, no progress since step 1200 (2 of 5)",
    step=None,
    total=None,
    loss=None,
    restarts=3,
    checkpoint=None,
)


def as_seen(view: JobView) -> Job:
    return cast(Job, view.model_dump(mode="json", by_alias=True))


def table(width: int | None, *views: JobView) -> str:
    return click.unstyle("\n".join(format_jobs([as_seen(view) for view in views], NOW, width)))


def test_a_wide_terminal_has_the_reason_in_a_column() -> None:
    assert table(150, make_job(), WAITING) == (
        "ID        NAME                      STATE    STEP       LOSS   RESTARTS  SAVED   GOODPUT  WHY\n"
        "k7mq2xwp  gpt                       running  1200/4000  2.313  0         3m ago  97%      "
        "attempt 1 is running\n"
        "p3x9aa2b  bert-large-uncased-fine…  waiting  -          -      3         -       97%      "
        "waiting 8 s before attempt 4: exit code 1, no progress sinc…"
    )


def test_a_narrow_terminal_has_the_reason_on_a_line_of_its_own() -> None:
    assert table(70, make_job(), WAITING) == (
        "ID        NAME             STATE    STEP       LOSS   RESTARTS  SAVED\n"
        "k7mq2xwp  gpt              running  1200/4000  2.313  0         3m ago\n"
        "  attempt 1 is running\n"
        "p3x9aa2b  bert-large-unc…  waiting  -          -      3         -\n"
        "  waiting 8 s before attempt 4: exit code 1, no progress since step 1…"
    )


@pytest.mark.parametrize("width", [70, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, table(width, make_job(), WAITING).splitlines())) <= width


def test_short_reasons_stay_in_their_column_where_they_fit() -> None:
    lines = table(100, make_job()).splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("attempt 1 is running")


def test_nothing_is_cut_where_nobody_looks_at_a_terminal() -> None:
    assert table(None, WAITING).endswith(WAITING.reason)


def test_control_characters_in_a_name_or_reason_are_not_passed_on() -> None:
    assert "\x1b" not in table(None, make_job(name="a\x1b[31m", reason="b\x1b[2J"))
