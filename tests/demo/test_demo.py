"""The whole demo, with a model that is tiny, for steps enough to be disturbed four times."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.timeout(300)]

CODE = """
import sys
from perdured.demo.show import run_demo
from perdured.demo.stage import Scale
tiny = ("--megabytes", "0.25", "--epochs", "4", "--layers", "1", "--width", "32", "--batch", "16", "--sample", "8")
sys.exit(run_demo(Scale((*tiny, *sys.argv[1:]), "10 steps")))
"""


def start_demo(folder: Path, *options: str) -> subprocess.Popen[str]:
    env = os.environ | {"TMPDIR": str(folder)}
    argv = [sys.executable, "-c", CODE, *options]
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_the_job_survives_everything_and_the_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    with start_demo(tmp_path) as demo:
        output, _ = demo.communicate(timeout=250)
    assert demo.returncode == 0, output
    assert "bit by bit" in output
    assert output.count("✓ training goes on from step") == 3
    assert output.count("✓ the same process trains on") == 1
    assert "is broken" in output
    assert list(tmp_path.glob("perdure-demo-*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_stops_the_job_and_keeps_the_logs(number: signal.Signals, tmp_path: Path) -> None:
    with start_demo(tmp_path) as demo:
        assert demo.stdout is not None
        output = ""
        for line in demo.stdout:
            output += line
            if "attempt 1 is running" in line:
                demo.send_signal(number)
        demo.wait(60)
    assert demo.returncode == (-number if number == signal.SIGINT else 128 + number), output
    kept = re.search(r"Logs and checkpoints are in (\S+)", output)
    assert kept is not None, output
    assert Path(kept[1], "perdured.log").is_file()


def test_a_run_that_fails_is_told_with_where_to_look(tmp_path: Path) -> None:
    with start_demo(tmp_path, "--layers", "none") as demo:
        output, _ = demo.communicate(timeout=100)
    assert demo.returncode != 0
    assert "The undisturbed run failed." in output
    assert "invalid int value: 'none'" in output
