"""The batch script that a spec becomes. `tests/service/test_under_slurm.py` runs it."""

from __future__ import annotations

import subprocess

import pytest

from perdured.core.export.slurm import SlurmWishes, format_slurm, format_time_limit
from perdured.core.export.source import Source
from perdured.core.spec_text import parse_spec

SPEC = """
name = "gpt"
command = ["python", "train.py"]
[stop]
grace = "90s"
[resources]
gpus = 2
memory = "16GiB"
"""


def export(spec: str = SPEC, file: str = "/home/me/run/gpt.toml", wishes: SlurmWishes | None = None) -> str:
    return format_slurm(Source(parse_spec(spec), file, "/home/me/run"), wishes or SlurmWishes())


def test_the_signal_comes_early_enough_for_the_grace() -> None:
    assert "#SBATCH --signal=TERM@120\n" in export()


def test_it_asks_for_what_the_spec_asks_for() -> None:
    script = export(wishes=SlurmWishes(3 * 3600.0, "spot", "lab"))
    for line in ("--gres=gpu:2", "--mem=16384M", "--time=0-03:00:00", "--partition=spot", "--account=lab"):
        assert f"#SBATCH {line}\n" in script
    assert "gres" not in export('command = ["python"]')


def test_it_is_requeued_and_its_output_is_not_lost() -> None:
    assert "#SBATCH --requeue\n" in export()
    assert "#SBATCH --open-mode=append\n" in export()


def test_slurm_reads_options_only_before_the_first_command() -> None:
    lines = export().splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[first:] if line.startswith("#SBATCH")]


@pytest.mark.parametrize("folder", ["/home/my run", "/home/it's", "/home/a$(touch /tmp/x)b", "/home/ä\n#SBATCH --x"])
def test_any_path_is_one_word_of_the_script(folder: str) -> None:
    script = format_slurm(Source(parse_spec(SPEC), f"{folder}/gpt.toml", folder), SlurmWishes())
    check = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=20, check=False)
    assert (check.returncode, check.stderr) == (0, "")
    stub = "srun() { printf '%s\\0' \"$@\"; }; cd() { :; }; mkdir() { :; }; hostname() { :; }; echo() { :; }\n"
    run = subprocess.run(["bash", "-c", stub + script], capture_output=True, text=True, timeout=20, check=False)
    assert run.stdout.split("\0")[-2] == f"{folder}/gpt.toml"


@pytest.mark.parametrize(
    ("status", "shown", "is_queued_again"),
    [
        (75, "JobState=RUNNING PreemptTime=None", True),
        (75, "JobState=RUNNING PreemptTime=2026-11-25T13:08:14", True),
        (143, "JobState=RUNNING PreemptTime=2026-11-25T13:08:14", True),
        (143, "JobState=RUNNING PreemptTime=None", False),
        (75, "JobState=CANCELLED PreemptTime=None", False),
        (0, "JobState=RUNNING PreemptTime=2026-11-25T13:08:14", False),
        (78, "JobState=RUNNING PreemptTime=2026-11-25T13:08:14", False),
    ],
)
def test_it_asks_to_be_queued_again_when_that_is_of_use(status: int, shown: str, is_queued_again: bool) -> None:
    """Slurm does so by itself only for a job whose grace ran out; one that was cancelled must stay so."""
    stubs = f"""
        srun() {{ return {status}; }}; cd() {{ :; }}; mkdir() {{ :; }}; hostname() {{ :; }}
        scontrol() {{ if [ $1 = show ]; then printf 'JobId=7\n   {shown}\n'; else printf '%s' asked; fi; }}
    """
    run = subprocess.run(["bash", "-c", stubs + export()], capture_output=True, text=True, timeout=20, check=False)
    assert run.returncode == status
    assert run.stdout.endswith("asked") is is_queued_again


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "0-00:01:00"), (60, "0-00:01:00"), (61, "0-00:02:00"), (86400, "1-00:00:00"), (180000, "2-02:00:00")],
)
def test_the_time_limit_is_in_whole_minutes_and_never_shorter(seconds: float, text: str) -> None:
    assert format_time_limit(seconds) == text
