"""What uploads took outlives the daemon that saw it."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.remote.times import REMEMBERED, load_times, save_times

URL = "s3://bucket/run"


def test_times_are_kept_for_the_next_daemon_and_for_the_same_remote_alone(tmp_path: Path) -> None:
    path = tmp_path / "uploads.json"
    save_times(path, URL, (3.5, 4.0))
    assert load_times(path, URL) == (3.5, 4.0)
    assert load_times(path, "s3://bucket/other") == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "s3://bucket/run", "took": ["x"]}'])
def test_what_cannot_be_read_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "uploads.json"
    assert load_times(path, URL) == ()
    path.write_text(text)
    assert load_times(path, URL) == ()


def test_a_file_that_claims_too_many_is_none(tmp_path: Path) -> None:
    path = tmp_path / "uploads.json"
    path.write_text(f'{{"url": "{URL}", "took": {[1.0] * (REMEMBERED + 1)}}}')
    assert load_times(path, URL) == ()


def test_where_nothing_can_be_written_nothing_happens(tmp_path: Path) -> None:
    save_times(tmp_path / "missing" / "uploads.json", URL, (1.0,))
