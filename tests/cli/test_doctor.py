"""`perdure doctor`, run for real: whatever this machine is like, the report is whole and says what it should."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from perdured.cli.doctor_page import format_page, format_summary
from perdured.cli.main import run_cli
from perdured.cli.settings import Settings
from perdured.contract.checkpoint.commit import commit_checkpoint
from perdured.contract.checkpoint.manifest import Facts
from perdured.core.doctor.finding import Finding
from perdured.views import PaceView
from support.fake_service import FakeService, make_job, serving

Doctor = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def doctor(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Doctor:
    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        settings = Settings(socket=tmp_path / "perdured.sock", state_dir=tmp_path / "state")
        status = run_cli(["doctor", "--json", *arguments], settings)
        return status, json.loads(capfdbinary.readouterr().out)

    return run


def find(report: dict[str, Any], check: str) -> dict[str, str]:
    found: list[dict[str, str]] = [each for each in report["findings"] if each["check"] == check]
    assert len(found) == 1
    return found[0]


def write_spec(folder: Path, *command: str, extra: str = "") -> str:
    spec = folder / "job.toml"
    spec.write_text(f'name = "gpt"\ncommand = {json.dumps(command)}\n{extra}')
    return str(spec)


def test_the_report_counts_what_it_found_and_ends_with_1_for_a_problem(doctor: Doctor) -> None:
    status, report = doctor()
    levels = [each["level"] for each in report["findings"]]
    assert report["problems"] == levels.count("problem")
    assert report["warnings"] == levels.count("warning")
    assert status == (1 if report["problems"] else 0)
    clouds = {"aws", "gcp", "azure", "alibaba", "tencent"}
    assert {*clouds, "signal", "slurm", "kubernetes", "systemd"} == {s["name"] for s in report["sources"]}
    assert find(report, "daemon")["level"] == "warning"


def test_a_spec_is_looked_at_with_its_own_directory_and_python(doctor: Doctor, tmp_path: Path) -> None:
    _, report = doctor(write_spec(tmp_path, sys.executable, "train.py"))
    assert str(tmp_path / "checkpoints") in find(report, "checkpoints of gpt")["what"]
    assert find(report, "python")["level"] == "ok"
    assert find(report, "daemon")["level"] == "ok"
    assert (report["save"]["job"], report["save"]["seconds"]) == ("gpt", None)
    assert not (tmp_path / "checkpoints").exists()


def test_a_python_that_is_not_there_is_a_problem(doctor: Doctor, tmp_path: Path) -> None:
    status, report = doctor(write_spec(tmp_path, "no/such/python3", "train.py"))
    assert status == 1
    assert find(report, "python")["level"] == "problem"


def test_of_a_command_that_is_no_python_none_is_looked_for(doctor: Doctor, tmp_path: Path) -> None:
    _, report = doctor(write_spec(tmp_path, "./train"))
    assert "python" not in {each["check"] for each in report["findings"]}


def test_the_save_of_a_job_that_measured_none_is_reckoned_from_its_checkpoint(doctor: Doctor, tmp_path: Path) -> None:
    facts = Facts(job="gpt", attempt=1, series="run", healthy=True, position=None, created_at=0.0)
    commit_checkpoint(tmp_path / "checkpoints", 12, {"state.bin": [bytes(100_000)]}, facts)
    _, report = doctor(write_spec(tmp_path, sys.executable, "train.py"))
    save = report["save"]
    assert (save["size"], save["is_measured"]) == (100_000, False)
    assert 0 < save["seconds"] < 100
    assert find(report, "memory tier")["level"] in ("ok", "warning")


def test_the_jobs_of_the_daemon_are_looked_at_with_what_they_measured(tmp_path: Path, doctor: Doctor) -> None:
    seconds = {"save_every": 60.0, "snapshot_every": 6.0, "copy": 0.5, "write": 1.5}
    costs = {"failure_costs": 3.0, "machine_loss_costs": 30.0, "overhead": 0.01}
    pace = PaceView.model_validate(seconds | costs)
    job = make_job(checkpoint_dir=str(tmp_path / "gpt"), pace=pace)
    with serving(FakeService((job,)), tmp_path / "perdured.sock"):
        _, report = doctor()
    assert (report["save"]["seconds"], report["save"]["is_measured"]) == (2.0, True)
    assert find(report, "daemon")["level"] == "ok"
    assert str(tmp_path / "gpt") in find(report, "checkpoints of gpt")["what"]


def test_a_spec_with_errors_is_bad_usage(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    spec = tmp_path / "job.toml"
    spec.write_text("comand = []")
    assert run_cli(["doctor", str(spec)], Settings()) == 2


FINDINGS = [
    Finding("notices", "aws", "ok", "2 min of warning."),
    Finding("storage", "checkpoints of gpt", "problem", "It is full, and " + "long " * 20, "No room.", "Free some."),
    Finding("machine", "clock", "warning", "Nobody keeps it.", "Why.", "Do this."),
]


def test_the_page_says_below_what_is_wrong_why_and_what_to_do() -> None:
    page = format_page(FINDINGS, None)
    at = next(number for number, line in enumerate(page) if "It is full" in line)
    assert [line.strip() for line in page[at + 1 : at + 3]] == ["\x1b[90mNo room.\x1b[0m", "Free some."]
    assert page[-1] == "1 problem, 1 warning."


def test_the_page_keeps_to_the_width_of_the_terminal() -> None:
    assert max(len(click.unstyle(line)) for line in format_page(FINDINGS, 60)) <= 60


def test_nothing_wrong_is_said_in_one_line() -> None:
    assert format_summary(FINDINGS[:1]) == "All is well."
