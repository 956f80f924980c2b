"""The promise of the memory tier: killed again and again, with nothing saved, a run ends with the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from support.daemons import BIN, Daemon, wait_for
from support.hashed_training import format_training
from support.seeds import make_random

pytestmark = [pytest.mark.torch, pytest.mark.slow]

KILLS = 3
SCRIPT = format_training("1000000 steps", epochs=3)


def _find_leader(work: Path) -> int | None:
    """The process of the newest attempt, if it has a snapshot's worth of life behind it."""
    attempts = sorted(work.glob("checkpoints/.perdure/**/run.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(attempts[-1].read_text())["leader"]["pid"] if attempts else None


def test_killed_again_and_again_without_a_save_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    random = make_random()
    script, alone, work = tmp_path / "train.py", tmp_path / "alone", tmp_path / "work"
    script.write_text(SCRIPT)
    alone.mkdir()
    work.mkdir()
    undisturbed = subprocess.run([sys.executable, script, "0"], cwd=alone, capture_output=True, text=True, check=True)
    command = [str(BIN / "perdure"), "run", "--", sys.executable, str(script), "0.05"]
    with subprocess.Popen(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as job:
        killed: set[int] = set()
        while len(killed) < KILLS:
            pid = wait_for(lambda: pid if (pid := _find_leader(work)) not in killed else None, "the next attempt")
            signal.sigtimedwait([], random.uniform(4.0, 5.0))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        output, told = job.communicate(timeout=120)
    assert output.splitlines()[-1] == undisturbed.stdout.splitlines()[-1], told
    assert told.count(" started from step ") == KILLS, told
    leftover = Daemon(tmp_path)
    leftover.state = work / "checkpoints" / ".perdure"
    leftover.close()
