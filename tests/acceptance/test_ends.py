"""Jobs that fail, through a real daemon: what the user is told, and what follows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.daemons import Daemon, wait_for

QUICKLY = '[restart]\nbackoff = "10ms..50ms"\n'
COUNT = """
import os, perdure
from pathlib import Path
with perdure.Run(data=range(8), every="1 steps") as run:
    for n in run.batches(range(8)):
        {before}
        run.report()
        run.save()
        {after}
"""


def submit(daemon: Daemon, work: Path, code: str, extra: str = QUICKLY) -> str:
    work.mkdir()
    (work / "train.py").write_text(code)
    return daemon.submit(work, sys.executable, "train.py", extra=extra)


def test_a_typo_is_not_retried_all_night(daemon: Daemon, tmp_path: Path) -> None:
    """Two attempts, and the traceback is on the page."""
    job = submit(daemon, tmp_path / "work", "def train(rate):\n    return rate * learning_rat\n\ntrain(1)\n")
    assert daemon.run("wait", job).returncode == 1
    shown = daemon.show(job)
    assert [a["cause"] for a in shown["attempts"]] == ["exception", "exception"]
    error = "NameError: name 'learning_rat' is not defined"
    assert shown["reason"] == f"{error}; the same failure twice before any progress"
    first, last = shown["attempts"]
    assert first["fingerprint"] == last["fingerprint"]
    assert last["error"] == error
    assert last["decision"] == shown["reason"]
    page = daemon.run("show", job).stdout
    assert "what ended attempt 2 (exception)" in page
    assert "    return rate * learning_rat" in page


def test_a_module_that_is_missing_is_not_looked_for_again(daemon: Daemon, tmp_path: Path) -> None:
    job = submit(daemon, tmp_path / "work", "import flash_attention_9\n")
    assert daemon.run("wait", job).returncode == 1
    shown = daemon.show(job)
    assert [a["cause"] for a in shown["attempts"]] == ["import_error"]


def test_a_step_that_always_fails_ends_the_job_there(daemon: Daemon, tmp_path: Path) -> None:
    """Though it had made progress, and would each time have made some more."""
    job = submit(daemon, tmp_path / "work", COUNT.format(before="if n == 5: raise ValueError('bad sample')", after=""))
    assert daemon.run("wait", job).returncode == 1
    shown = daemon.show(job)
    assert shown["reason"] == "ValueError: bad sample; the same failure twice at step 5"
    assert len(shown["attempts"]) <= 3


def test_a_checkpoint_with_which_attempts_die_is_stepped_over(daemon: Daemon, tmp_path: Path) -> None:
    """It is there, and whole, and loads; and then the job dies."""
    poison = "if run.step == 5 and not os.path.exists('died'): Path('died').touch(); os._exit(9)"
    head = "import os\nif os.environ.get('PERDURE_RESUME_STEP') == '5': raise ValueError('poison')\n"
    job = submit(daemon, tmp_path / "work", head + COUNT.format(before="", after=poison))
    assert daemon.run("wait", job, "--timeout", "30").returncode == 0
    shown = daemon.show(job)
    assert [a["resumed_from_step"] for a in shown["attempts"]] == [None, 5, 5, 4]
    assert "with which two attempts died without a step" in shown["attempts"][2]["decision"]


@pytest.mark.parametrize("ends_by", ["stop", "resume"])
def test_a_full_disk_holds_the_job_and_says_so(daemon: Daemon, tmp_path: Path, ends_by: str) -> None:
    """No attempt is spent on it; `perdure resume` cuts the wait short."""
    code = (
        "import os\nif not os.path.exists('room'):\n    with open('/dev/full', 'w') as file: file.write('x' * 99999)\n"
    )
    job = submit(daemon, tmp_path / "work", code)
    shown = daemon.wait_for_state(job, "waiting")
    assert shown["attempts"][-1]["cause"] == "disk_full"
    assert shown["waiting_for"] == "the disk to take a file again"
    assert shown["waiting_until"] is not None
    assert "waits" in daemon.run("show", job).stdout
    if ends_by == "resume":
        (tmp_path / "work" / "room").touch()
        assert daemon.run("resume", job).returncode == 0
        assert daemon.run("wait", job, "--timeout", "20").returncode == 0
    else:
        daemon.run("stop", job)
        assert daemon.wait_for_state(job, "stopped")["waiting_until"] is None
    assert len(daemon.show(job)["attempts"]) == (2 if ends_by == "resume" else 1)


def test_resume_cuts_a_backoff_short(daemon: Daemon, tmp_path: Path) -> None:
    code = "import os\nraise SystemExit(0 if os.path.exists('fixed') else 3)\n"
    job = submit(daemon, tmp_path / "work", code, '[restart]\nbackoff = "5min..5min"\n')
    shown = daemon.wait_for_state(job, "waiting")
    assert shown["waiting_for"] == "the backoff after a failure"
    (tmp_path / "work" / "fixed").touch()
    assert daemon.run("resume", job).returncode == 0
    wait_for(lambda: daemon.show(job)["state"] == "succeeded", "it goes on at once")
