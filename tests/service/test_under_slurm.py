"""The script of `perdure export slurm` on a real Slurm: a job that is preempted, or comes to its time limit, saves, is
queued again, goes on, and ends with the same bits as one left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.daemons import BIN, wait_for
from support.hashed_training import format_training
from support.slurm import GRACE_TIME, KILL_WAIT, WHY_NOT, Slurm, run_slurm

pytestmark = [
    pytest.mark.slow, pytest.mark.root, pytest.mark.torch, pytest.mark.timeout(500),
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
]  # fmt: skip

EPOCHS = 4
STEPS = EPOCHS * 100
_REPORT = "run.report()"


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    with run_slurm(tmp_path / "s") as slurm:
        yield slurm


class Training:
    """A spec, its script for Slurm, and what becomes of it."""

    def __init__(self, folder: Path, pause: float, *options: str) -> None:
        self.folder = folder
        folder.mkdir()
        text = format_training("1000000 steps", epochs=EPOCHS)
        (folder / "train.py").write_text(text.replace(_REPORT, f"{_REPORT}; open('trains', 'w').close()"))
        command = json.dumps([sys.executable, "train.py", str(pause)])
        spec = folder / "train.toml"
        spec.write_text(f'name = "train"\ncommand = {command}\n[stop]\ngrace = "5s"\n')
        self.script = folder / "train.sh"
        export = [str(BIN / "perdure"), "export", "slurm", str(spec), "-o", str(self.script), *options]
        subprocess.run(export, check=True, timeout=50)

    def submit(self, slurm: Slurm) -> str:
        return slurm.submit(f"--output={self.folder}/out", str(self.script))

    @property
    def output(self) -> str:
        path = self.folder / "out"
        return path.read_text() if path.exists() else ""

    def wait_until_it_starts(self) -> None:
        wait_for(lambda: "started" in self.output or None, "perdure to start it", 60)

    def wait_until_it_trains(self) -> None:
        wait_for(lambda: (self.folder / "trains").exists() or None, "the first step", 60)

    @property
    def last_line(self) -> str:
        return next(line for line in reversed(self.output.splitlines()) if line.startswith(f"{STEPS} "))


def preempt(slurm: Slurm) -> None:
    """By a job that wants the whole node; returns when that is done."""
    urgent = slurm.submit("--partition=high", "--cpus-per-task=2", "--wrap=sleep 1", f"--output={slurm.home}/urgent")
    slurm.wait_for_state(urgent, "COMPLETED", ceiling=120)


def train_alone(folder: Path) -> str:
    folder.mkdir()
    (folder / "train.py").write_text(format_training("1000000 steps", epochs=EPOCHS))
    done = subprocess.run(
        [sys.executable, "train.py", "0"], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.splitlines()[-1]


def test_a_preempted_job_uses_its_grace_and_ends_with_the_same_bits(slurm: Slurm, tmp_path: Path) -> None:
    training = Training(tmp_path / "work", 0.05, "--partition", "spot")
    job = training.submit(slurm)
    training.wait_until_it_trains()
    preempt(slurm)
    shown = slurm.finish(job, ceiling=120)
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "1")
    assert training.last_line == train_alone(tmp_path / "alone")
    assert "resumed from step" in training.output


def test_a_job_that_is_preempted_before_it_could_save_is_queued_again_too(slurm: Slurm, tmp_path: Path) -> None:
    training = Training(tmp_path / "work", 0.01, "--partition", "spot")
    job = training.submit(slurm)
    training.wait_until_it_starts()
    preempt(slurm)
    shown = slurm.finish(job, ceiling=120)
    assert (shown["JobState"], shown["Restarts"]) == ("COMPLETED", "1")
    assert training.last_line.startswith(f"{STEPS} ")


def test_a_job_at_its_time_limit_asks_to_be_queued_again(slurm: Slurm, tmp_path: Path) -> None:
    # Slurm sends the signal up to a minute early, and it has to find the job training.
    training = Training(tmp_path / "work", 0.35, "--time", "2min")
    job = training.submit(slurm)
    training.wait_until_it_trains()
    shown = slurm.finish(job, ceiling=400)
    assert shown["JobState"] == "COMPLETED"
    assert int(shown["Restarts"]) >= 1
    assert training.last_line == train_alone(tmp_path / "alone")
    assert "resumed from step" in training.output


def test_a_job_that_is_cancelled_stays_so(slurm: Slurm, tmp_path: Path) -> None:
    """It saves, ends with 75 as well, and must not be brought back by its own script."""
    training = Training(tmp_path / "work", 0.05)
    job = training.submit(slurm)
    training.wait_until_it_trains()
    slurm.run("scancel", job)
    shown = slurm.wait_for_state(job, "CANCELLED")
    assert shown["Restarts"] == "0"
    wait_for(lambda: list((tmp_path / "work" / "checkpoints").glob("step-*")), "the checkpoint")
    assert slurm.show(job)["JobState"] == "CANCELLED"


def test_the_doctor_tells_what_a_step_hears_from_what_the_batch_script_hears(slurm: Slurm, tmp_path: Path) -> None:
    """From the real answers of `scontrol`."""
    ask = "perdure doctor --json; true"
    step = find_slurm(json.loads(slurm.run("srun", "--partition=spot", "--quiet", "sh", "-c", ask)))
    out = tmp_path / "report"
    slurm.submit("--wait", "--partition=spot", f"--output={out}", "--error=/dev/null", f"--wrap={ask}")
    batch = find_slurm(json.loads(out.read_text()))
    assert step == (GRACE_TIME + KILL_WAIT, "ok")
    assert batch == (KILL_WAIT, "problem")


def find_slurm(report: dict[str, Any]) -> tuple[float, str]:
    """The seconds of warning, and whether the signal arrives in time."""
    (source,) = (each for each in report["sources"] if each["name"] == "slurm")
    (signal,) = (each for each in report["findings"] if each["check"] == "slurm signal")
    return source["seconds"], signal["level"]
