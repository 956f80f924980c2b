"""The promise of the remote tier: a machine is lost with all it had, and the run ends with the same bits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.daemons import Daemon, wait_for
from support.hashed_training import format_training
from support.s3 import Bucket

pytestmark = [pytest.mark.torch, pytest.mark.slow]

SCRIPT = format_training("20 steps", epochs=2)


def begin(machine: Daemon, pause: str, url: str, env: Mapping[str, str]) -> str:
    work = machine.root / "work"
    work.mkdir()
    (work / "train.py").write_text(SCRIPT)
    command = json.dumps([sys.executable, "train.py", pause])
    (work / "job.toml").write_text(f'name = "gpt"\ncommand = {command}\n[checkpoint]\nremote = "{url}"\n')
    done = machine.run("submit", str(work / "job.toml"), env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.timeout(300)
def test_machines_are_lost_and_the_run_ends_with_the_same_bits(tmp_path: Path, bucket: Bucket) -> None:
    """Each new one has an empty disk, a new state directory, the spec and the bucket."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    undisturbed = subprocess.run(
        [sys.executable, script, "0"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=50
    )
    resumed: list[int | None] = []
    reached = 0
    for number in range(3):
        machine = Daemon(tmp_path / f"machine-{number}")
        machine.root.mkdir()
        try:
            machine.start()
            is_last = number == 2
            job = begin(machine, "0" if is_last else "0.05", bucket.url, bucket.env())
            if not is_last:
                reached += 40

                def has_reached(machine: Daemon = machine, job: str = job, step: int = reached) -> bool:
                    return (machine.show(job)["remote"]["step"] or 0) >= step

                wait_for(has_reached, f"step {reached} to be on the remote", ceiling=50)
            else:
                machine.wait_for_state(job, "succeeded", ceiling=50)
                output = machine.run("logs", job).stdout
                assert output.splitlines()[-1] == undisturbed.stdout.splitlines()[-1]
            resumed.append(machine.show(job)["attempts"][0]["resumed_from_step"])
        finally:
            machine.close()
            shutil.rmtree(machine.root)
    assert resumed[0] is None
    assert (resumed[1] or 0) >= 40
    assert (resumed[2] or 0) >= 80
