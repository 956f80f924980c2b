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
from support.seeds import make_random

pytestmark = [pytest.mark.torch, pytest.mark.slow]

KILLS = 3
SCRIPT = """
import hashlib, sys, time, torch, perdure

torch.manual_seed(1)
layers = torch.nn.Linear(16, 32), torch.nn.BatchNorm1d(32), torch.nn.Dropout(0.3), torch.nn.Linear(32, 2)
model = torch.nn.Sequential(*layers)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
source = torch.Generator().manual_seed(5)
data = torch.utils.data.TensorDataset(torch.randn(800, 16, generator=source))
loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
with perdure.Run(model=model, optimizer=optimizer, data=loader, every="1000000 steps") as run:
    for (rows,) in run.batches(epochs=3):
        model(rows).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        time.sleep(float(sys.argv[1]))
        run.report()
found = hashlib.sha256()
moments = [tensor for state in optimizer.state_dict()["state"].values() for tensor in state.values()]
for tensor in [*model.state_dict().values(), *moments]:
    found.update(tensor.numpy().tobytes())
print(run.step, found.hexdigest())
"""


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
