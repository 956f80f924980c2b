"""What a submitter hands in becomes a submission, or is told what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdured.errors import BadUsage
from perdured.state.submission import InvalidSubmission, parse_submission

COMMAND = 'command = ["x"]\n'


def test_relative_places_start_at_the_folder_of_the_spec(tmp_path: Path) -> None:
    submission = parse_submission(f'{COMMAND}workdir = "sub/../runs"', workdir=tmp_path, env={})
    assert submission.workdir == str(tmp_path / "runs")
    assert submission.checkpoint_dir == tmp_path / "runs" / "checkpoints"


def test_absolute_places_are_taken_as_they_are(tmp_path: Path) -> None:
    text = f'{COMMAND}workdir = "/data"\n[checkpoint]\ndir = "{tmp_path}"'
    submission = parse_submission(text, workdir=Path("/elsewhere"), env={})
    assert (submission.workdir, submission.checkpoint_dir) == ("/data", tmp_path)


def test_the_environment_is_the_submitters_with_the_specs_over_it(tmp_path: Path) -> None:
    env = {"PATH": "/bin", "OMP_NUM_THREADS": "8"}
    text = f'{COMMAND}env = {{ OMP_NUM_THREADS = "2", NEW = "" }}'
    submission = parse_submission(text, workdir=tmp_path, env=env)
    assert submission.env == {"PATH": "/bin", "OMP_NUM_THREADS": "2", "NEW": ""}
    assert env == {"PATH": "/bin", "OMP_NUM_THREADS": "8"}


def test_a_workdir_that_leads_round_in_circles_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert parse_submission(f'{COMMAND}workdir = "loop/x"', workdir=tmp_path, env={}).workdir


@pytest.mark.parametrize(
    ("text", "first", "lines"),
    [
        ("", "The spec has an error:", 3),
        ("x = 1\ny = 2", "The spec has 3 errors:", 5),
        ("x", "The spec has an error:", 3),
    ],
)
def test_all_errors_are_told_at_once(tmp_path: Path, text: str, first: str, lines: int) -> None:
    with pytest.raises(InvalidSubmission) as refused:
        parse_submission(text, workdir=tmp_path, env={})
    told = str(refused.value).splitlines()
    assert told[0] == first
    assert len(told) == lines
    assert told[-1].startswith("Nothing was submitted.")
    assert refused.value.exit_status == 2


@pytest.mark.parametrize("folder", ["/nul\0x", "/\ud800", "/bytes\udcff"])
def test_a_workdir_that_is_no_text_is_told_in_words(folder: str) -> None:
    with pytest.raises(BadUsage, match="workdir"):
        parse_submission(COMMAND, workdir=Path(folder), env={})
